//! A socket with TLS, or without.

use core::cell::RefCell;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::pin::pin;
use core::task::Poll;

use embedded_io_async::{ErrorType, Read, Write};

use super::buffers::{Inbox, Outbox};
use super::engine::{Engine, Progress};
use super::error::Error;
use crate::net::Socket;
use crate::session::TURNS;
use crate::time::yield_now;

/// A connection of a [`Connector`](super::Connector): with TLS when its remote is secure, without otherwise.
pub struct Stream<'c, S> {
    pub(super) socket: S,
    pub(super) secure: Option<Secure<'c>>,
}

/// What TLS adds to a socket.
pub(super) struct Secure<'c> {
    pub(super) engine: RefCell<Engine>,
    pub(super) inbox: Inbox<'c>,
    pub(super) outbox: Outbox<'c>,
}

/// The reading half of a [`Stream`].
pub struct Reader<'s, 'c, R> {
    inner: R,
    secure: Option<(&'s RefCell<Engine>, &'s mut Inbox<'c>)>,
}

/// The writing half of a [`Stream`].
pub struct Writer<'s, 'c, W> {
    inner: W,
    secure: Option<(&'s RefCell<Engine>, &'s mut Outbox<'c>)>,
}

impl<'c, S: Socket> Socket for Stream<'c, S> {
    type Error = Error;
    type Reader<'s>
        = Reader<'s, 'c, S::Reader<'s>>
    where
        Self: 's;
    type Writer<'s>
        = Writer<'s, 'c, S::Writer<'s>>
    where
        Self: 's;

    fn split(&mut self) -> (Self::Reader<'_>, Self::Writer<'_>) {
        let (reader, writer) = self.socket.split();
        let Some(Secure { engine, inbox, outbox }) = &mut self.secure else {
            return (Reader { inner: reader, secure: None }, Writer { inner: writer, secure: None });
        };
        let engine: &_ = engine;
        let reader = Reader { inner: reader, secure: Some((engine, inbox)) };
        (reader, Writer { inner: writer, secure: Some((engine, outbox)) })
    }

    async fn shutdown(&mut self) -> Result<(), Error> {
        if let Some(Secure { engine, outbox, .. }) = &mut self.secure {
            engine.get_mut().close(outbox);
            let (_, mut writer) = self.socket.split();
            send(&mut writer, outbox).await?;
        }
        self.socket.shutdown().await.map_err(network)
    }

    fn peer(&self) -> Option<SocketAddr> {
        self.socket.peer()
    }
}

impl<'c, S: Socket> Stream<'c, S> {
    /// The handshake, until both sides may write.
    pub(super) async fn handshake(&mut self) -> Result<(), Error> {
        let Some(Secure { engine, inbox, outbox }) = &mut self.secure else { return Ok(()) };
        let engine = engine.get_mut();
        let (mut reader, mut writer) = self.socket.split();
        loop {
            let progress = engine.advance(inbox, Some(outbox));
            if progress.is_err() || !engine.is_handshaking() {
                // An error's alert tells the server why, if it takes it.
                let sent = send(&mut writer, outbox).await;
                return progress.and(sent);
            }
            if progress == Ok(Progress::End) || exchange(&mut reader, &mut writer, inbox, outbox).await? == 0
            {
                return Err(Error::Truncated);
            }
        }
    }
}

/// Receives while it sends: a server that has begun to write may not read before it has written all.
async fn exchange<R: Read, W: Write>(
    reader: &mut R,
    writer: &mut W,
    inbox: &mut Inbox<'_>,
    outbox: &mut Outbox<'_>,
) -> Result<usize, Error> {
    let (mut sending, mut receiving) = (pin!(send(writer, outbox)), pin!(receive(reader, inbox)));
    let mut sent = false;
    poll_fn(|cx| {
        if !sent && let Poll::Ready(result) = sending.as_mut().poll(cx) {
            result?;
            sent = true;
        }
        receiving.as_mut().poll(cx)
    })
    .await
}

/// # Cancel safety
/// Safe, as the socket's own is.
async fn receive<R: Read>(reader: &mut R, inbox: &mut Inbox<'_>) -> Result<usize, Error> {
    let spare = inbox.spare();
    if spare.is_empty() {
        return Err(Error::TooLarge);
    }
    let n = reader.read(spare).await.map_err(network)?;
    inbox.commit(n);
    Ok(n)
}

/// # Cancel safety
/// Safe: what has been written is not written again.
async fn send<W: Write>(writer: &mut W, outbox: &mut Outbox<'_>) -> Result<(), Error> {
    while !outbox.waiting().is_empty() {
        let n = writer.write(outbox.waiting()).await.map_err(network)?;
        outbox.written(n);
    }
    Ok(())
}

impl<R: Read> ErrorType for Reader<'_, '_, R> {
    type Error = Error;
}

impl<R: Read> Read for Reader<'_, '_, R> {
    /// # Cancel safety
    /// Safe: records are gathered in the connection's memory, and text is taken out of it at the last moment.
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        let Some((engine, inbox)) = &mut self.secure else {
            return self.inner.read(into).await.map_err(network);
        };
        let mut rounds = 0_u8;
        loop {
            match engine.borrow_mut().advance(inbox, None)? {
                Progress::Text => return Ok(inbox.take(into)),
                Progress::End => return Ok(0),
                Progress::Input if into.is_empty() => return Ok(0),
                Progress::Input => {}
            }
            if receive(&mut self.inner, inbox).await? == 0 {
                return Err(Error::Truncated);
            }
            // A peer that floods with what has no text must not starve other tasks.
            rounds = (rounds + 1) % TURNS;
            if rounds == 0 {
                yield_now().await;
            }
        }
    }
}

impl<W: Write> ErrorType for Writer<'_, '_, W> {
    type Error = Error;
}

impl<W: Write> Write for Writer<'_, '_, W> {
    /// Ready when the record has been handed to the socket.
    ///
    /// # Cancel safety
    /// Safe when the next write begins with the bytes of the one that was dropped: they may be in a record that has begun to
    /// leave.
    async fn write(&mut self, from: &[u8]) -> Result<usize, Error> {
        let Some((engine, outbox)) = &mut self.secure else {
            return self.inner.write(from).await.map_err(network);
        };
        if from.len() < outbox.claimed {
            return Err(Error::Order);
        }
        if outbox.claimed == 0 && !from.is_empty() {
            send(&mut self.inner, outbox).await?;
            outbox.claimed = poll_fn(|cx| match engine.borrow_mut().encrypt(from, outbox, cx) {
                Ok(None) => Poll::Pending,
                Ok(Some(n)) => Poll::Ready(Ok(n)),
                Err(error) => Poll::Ready(Err(error)),
            })
            .await?;
        }
        send(&mut self.inner, outbox).await?;
        Ok(core::mem::take(&mut outbox.claimed))
    }

    /// # Cancel safety
    /// Safe.
    async fn flush(&mut self) -> Result<(), Error> {
        if let Some((_, outbox)) = &mut self.secure {
            send(&mut self.inner, outbox).await?;
        }
        self.inner.flush().await.map_err(network)
    }
}

pub(super) fn network(error: impl embedded_io_async::Error) -> Error {
    Error::Network(error.kind())
}

impl<S> core::fmt::Debug for Stream<'_, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Stream").field("secure", &self.secure.is_some()).finish_non_exhaustive()
    }
}

impl<R> core::fmt::Debug for Reader<'_, '_, R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Reader").field("secure", &self.secure.is_some()).finish_non_exhaustive()
    }
}

impl<W> core::fmt::Debug for Writer<'_, '_, W> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Writer").field("secure", &self.secure.is_some()).finish_non_exhaustive()
    }
}
