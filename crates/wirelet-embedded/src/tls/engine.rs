//! rustls between the two buffers: no sockets, nothing that waits.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::task::{Context, Waker};

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeTlsData, UnbufferedStatus, WriteTraffic};
use rustls::{ClientConfig, Error as TlsError};

use super::buffers::{Inbox, Outbox};
use super::error::Error;

/// Header, inner content type and tag of a record (RFC 8446 5.2).
const OVERHEAD: usize = 5 + 1 + 16;
/// Room that is kept for what TLS itself has to say: an alert, and a key update before it.
pub(super) const RESERVE: usize = 64;
/// RFC 8446 5.1: the longest text of a record.
const LONGEST: usize = 1 << 14;

/// The state of a connection that its two halves share.
pub(super) struct Engine {
    connection: Box<UnbufferedClientConnection>,
    /// rustls wants to see the front of the inbox again.
    holds: bool,
    /// A writer that waits until `holds` is over.
    writer: Option<Waker>,
    /// The peer has said that nothing more comes.
    ended: bool,
    /// The alert that says so to the peer has been made.
    closed: bool,
    failed: Option<Error>,
}

/// What a connection has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It needs more records.
    Input,
    /// There is text to be read.
    Text,
    /// The peer has ended its stream.
    End,
}

impl Engine {
    pub(super) fn new(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, Error> {
        let connection = Box::new(UnbufferedClientConnection::new(config, name).map_err(Error::Tls)?);
        Ok(Self { connection, holds: false, writer: None, ended: false, closed: false, failed: None })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Takes in what has arrived, until there is text to be read or more is needed. What TLS answers is put into `outbox`, when
    /// there is one; without one it waits for the next record.
    ///
    /// # Errors
    /// The connection is over. An alert that says why is in `outbox`.
    pub(super) fn advance(
        &mut self,
        inbox: &mut Inbox<'_>,
        mut outbox: Option<&mut Outbox<'_>>,
    ) -> Result<Progress, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let progress = loop {
            if inbox.has_text() {
                break Ok(Progress::Text);
            }
            if self.ended {
                break Ok(Progress::End);
            }
            match self.step(inbox, outbox.as_deref_mut()) {
                Ok(None) => {}
                Ok(Some(progress)) => break Ok(progress),
                Err(error) => {
                    // An alert, and never another look at the records.
                    if let Some(outbox) = outbox.as_deref_mut().filter(|_| self.connection.wants_write()) {
                        let _ = self.step(inbox, Some(outbox));
                    }
                    self.failed = Some(error.clone());
                    break Err(error);
                }
            }
        };
        self.holds = progress == Ok(Progress::Input) && inbox.holds_record();
        if !self.holds
            && let Some(writer) = self.writer.take()
        {
            writer.wake();
        }
        progress
    }

    fn step(
        &mut self,
        inbox: &mut Inbox<'_>,
        outbox: Option<&mut Outbox<'_>>,
    ) -> Result<Option<Progress>, Error> {
        let UnbufferedStatus { discard, state, .. } = self.connection.process_tls_records(inbox.raw());
        let progress = match state {
            Err(error) => Err(Error::Tls(error)),
            // It stays where it is until the record's place is free.
            Ok(ConnectionState::ReadTraffic(_)) => Ok(Some(Progress::Text)),
            Ok(ConnectionState::EncodeTlsData(data)) => encode(data, outbox).map(|()| None),
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Ok(None)
            }
            Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
                Ok(Some(Progress::Input))
            }
            Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                self.ended = true;
                Ok(None)
            }
            Ok(_) => Err(unexpected()),
        };
        inbox.discard(discard);
        if progress == Ok(Some(Progress::Text)) {
            self.read(inbox)?;
            return Ok(None);
        }
        progress
    }

    /// Moves the text that rustls has to where its record was.
    fn read(&mut self, inbox: &mut Inbox<'_>) -> Result<(), Error> {
        let ConnectionState::ReadTraffic(mut traffic) =
            self.connection.process_tls_records(&mut []).state.map_err(Error::Tls)?
        else {
            return Err(unexpected());
        };
        match traffic.next_record() {
            Some(Ok(record)) if inbox.put(record.payload) => Ok(()),
            Some(Err(error)) => Err(Error::Tls(error)),
            _ => Err(unexpected()),
        }
    }

    /// Encrypts as much of `text` as fits a record in `outbox`, which must be empty. `None`: not now, the writer is woken.
    ///
    /// # Errors
    /// The connection is over.
    pub(super) fn encrypt(
        &mut self,
        text: &[u8],
        outbox: &mut Outbox<'_>,
        cx: &Context<'_>,
    ) -> Result<Option<usize>, Error> {
        let most = outbox.spare().len().saturating_sub(OVERHEAD + RESERVE).min(LONGEST);
        let text = text.get(..most).unwrap_or(text);
        let waits = self.write(outbox, |mut traffic, outbox| {
            let n = traffic.encrypt(text, outbox.spare()).map_err(|_| Error::Tls(TlsError::EncryptError))?;
            outbox.commit(n);
            Ok(())
        })?;
        if !waits {
            self.writer = Some(cx.waker().clone());
            return Ok(None);
        }
        Ok(Some(text.len()))
    }

    /// Puts the alert that ends this side's stream into `outbox`, once (RFC 8446 6.1).
    pub(super) fn close(&mut self, outbox: &mut Outbox<'_>) {
        if core::mem::replace(&mut self.closed, true) {
            return;
        }
        // A connection that has failed needs none, and one in the middle of a handshake message has no way to say it.
        let _ = self.write(outbox, |mut traffic, outbox| {
            let n =
                traffic.queue_close_notify(outbox.spare()).map_err(|_| Error::Tls(TlsError::EncryptError))?;
            outbox.commit(n);
            Ok(())
        });
    }

    /// Lets `put` write into `outbox`; false when rustls must first see more records.
    fn write(
        &mut self,
        outbox: &mut Outbox<'_>,
        put: impl FnOnce(
            WriteTraffic<'_, rustls::client::ClientConnectionData>,
            &mut Outbox<'_>,
        ) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if self.holds {
            return Ok(false);
        }
        loop {
            match self.connection.process_tls_records(&mut []).state.map_err(Error::Tls)? {
                ConnectionState::WriteTraffic(traffic) => return put(traffic, outbox).map(|()| true),
                ConnectionState::EncodeTlsData(data) => encode(data, Some(outbox))?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.ended = true,
                _ => return Err(unexpected()),
            }
        }
    }
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, outbox: Option<&mut Outbox<'_>>) -> Result<(), Error> {
    // After the handshake only an error is answered, and a key update, which rustls keeps for the next record.
    let Some(outbox) = outbox else { return Err(unexpected()) };
    let n = data.encode(outbox.spare()).map_err(|_| Error::Room)?;
    outbox.commit(n);
    Ok(())
}

/// What rustls doesn't do: no reason to stop a device.
fn unexpected() -> Error {
    Error::Tls(TlsError::General("unexpected state".into()))
}
