//! One endpoint of a WebSocket connection after its opening handshake.

mod deadline;
mod progress;
mod receive;
mod slot;
mod transmit;

use core::ops::Deref;

use crate::decoder::Decoder;
use crate::frame::Role;
use crate::{CloseInfo, Config, Initiator, Instant, deflate};
use deadline::Clock;
use receive::Receiving;
use transmit::Sending;

pub use progress::OutputWatch;
pub use slot::{CONTROL_SLOT, ControlSlot};

/// One endpoint of a WebSocket connection: a state machine without I/O, clock or memory of its own.
///
/// `C` refers to the [`Config`]: `&'static Config` on a microcontroller, `Arc<Config>` on a server. `K` is the memory of the
/// control frame that waits: a part of the connection, unless a driver brings another ([`ControlSlot`]).
///
/// **The rule for drivers: flush [`poll_transmit`](Self::poll_transmit), report with [`sent`](Self::sent), then act on
/// [`Status`](crate::Status); await nothing between reading bytes and `commit`.**
///
/// A driver's loop:
/// 1. [`advance`](Self::advance) until it answers [`NeedInput`](crate::Status::NeedInput); after each call send
///    what `poll_transmit` holds, between frames of its own, report with `sent` how far the transport took it, and take the
///    event when one is [`Ready`](crate::Status::Ready).
/// 2. Read bytes into the [`RecvBuffer`](crate::RecvBuffer), or wait until
///    [`poll_deadline`](Self::poll_deadline) and call [`handle_deadline`](Self::handle_deadline).
/// 3. After [`Closed`](crate::Status::Closed) or an error: flush, shut down the writing side, and read and discard
///    until the end of input or the deadline. Closing at once would reset the connection and could destroy
///    the close frame on its way.
#[derive(Debug)]
pub struct Connection<C, K = [u8; CONTROL_SLOT]> {
    config: C,
    role: Role,
    upgraded: Upgraded,
    decoder: Decoder,
    receiving: Receiving,
    sending: Sending<K>,
    clock: Clock,
    close: CloseInfo,
    transport: Transport,
}

/// Which directions of the transport still work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Open,
    /// The input has ended. What was received before is still delivered, and what was queued may still be sent.
    InputEnded,
    /// Nothing can be sent. What was received is still delivered.
    OutputFailed,
    /// Neither works. What was received is still delivered.
    Gone,
}

impl Transport {
    const fn can_send(self) -> bool {
        matches!(self, Self::Open | Self::InputEnded)
    }

    /// Nothing more will be received.
    const fn has_ended(self) -> bool {
        matches!(self, Self::InputEnded | Self::Gone)
    }
}

/// What the opening handshake agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upgraded {
    /// The subprotocol, as its position in the list that the caller offered or supports.
    pub subprotocol: Option<u16>,
    /// The extensions.
    pub extensions: Extensions,
}

/// The extensions that the opening handshake agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extensions {
    /// Messages may be compressed: RSV1 on their first frame (RFC 7692 6).
    pub deflate: Option<deflate::Params>,
}

impl Extensions {
    /// No extension.
    pub const NONE: Self = Self { deflate: None };

    /// Messages may be compressed, by a [`Compressor`](crate::Compressor) and a [`Codec`](crate::Codec) of the driver.
    pub const fn deflate(params: deflate::Params) -> Self {
        Self { deflate: Some(params) }
    }
}

/// The state of a connection (RFC 6455 4.1, 7.1.3, 7.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum State {
    /// Messages may be sent and received.
    Open,
    /// A close frame was sent or received, or nothing can be sent any more.
    Closing,
    /// Both were, or the transport has ended.
    Closed,
}

impl<C: Deref<Target = Config>> Connection<C> {
    /// An open connection without subprotocol and extensions.
    pub fn new(role: Role, config: C, now: Instant) -> Self {
        Self::from_upgraded(role, config, Upgraded::default(), now)
    }

    /// An open connection, as the opening handshake has agreed. This joins any HTTP library: bytes that it read
    /// beyond the handshake go into the [`RecvBuffer`](crate::RecvBuffer) first.
    pub fn from_upgraded(role: Role, config: C, upgraded: Upgraded, now: Instant) -> Self {
        Self::with_slot(role, config, upgraded, now)
    }
}

impl<C: Deref<Target = Config>, K: ControlSlot> Connection<C, K> {
    /// [`from_upgraded`](Connection::from_upgraded) with a control slot of the driver's own.
    pub fn with_slot(role: Role, config: C, upgraded: Upgraded, now: Instant) -> Self {
        let mut decoder = Decoder::new(role);
        if upgraded.extensions.deflate.is_some() {
            decoder.allow_rsv1();
        }
        Self {
            config,
            role,
            upgraded,
            decoder,
            receiving: Receiving::new(),
            sending: Sending::new(),
            clock: Clock::new(now),
            close: CloseInfo::default(),
            transport: Transport::Open,
        }
    }

    /// Open, closing or closed.
    #[inline]
    pub fn state(&self) -> State {
        match (self.close.sent, self.close.received) {
            _ if self.transport.has_ended() => State::Closed,
            (_, Some(_)) if self.transport == Transport::OutputFailed => State::Closed,
            _ if self.transport == Transport::OutputFailed => State::Closing,
            (None, None) => State::Open,
            (Some(_), Some(_)) if self.poll_transmit().is_empty() => State::Closed,
            _ => State::Closing,
        }
    }

    /// Which end this is.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Who has said what about closing, so far.
    pub const fn close_info(&self) -> CloseInfo {
        self.close
    }

    /// The subprotocol, as its position in the list that was offered or is supported.
    pub const fn subprotocol(&self) -> Option<u16> {
        self.upgraded.subprotocol
    }

    /// The extensions in use.
    pub const fn extensions(&self) -> Extensions {
        self.upgraded.extensions
    }

    /// The transport's input has ended (RFC 6455 7.1.4): nothing more is accepted for sending, and
    /// [`advance`](Self::advance) answers [`Closed`](crate::Status::Closed) after what was received before.
    ///
    /// What waits already may still be sent; how long the peer may take for it stays limited by
    /// [`Limits::stalled_time`](crate::Limits::stalled_time) and [`Limits::slowest`](crate::Limits::slowest). Without a
    /// close frame from the peer the end is abnormal: [`CloseInfo::code`] is 1006.
    pub const fn received_eof(&mut self) {
        self.transport = match self.transport {
            Transport::Open | Transport::InputEnded => Transport::InputEnded,
            Transport::OutputFailed | Transport::Gone => Transport::Gone,
        };
    }

    /// The transport's writing side has failed: nothing can be sent any more.
    ///
    /// What was received is still delivered by [`advance`](Self::advance); answers to pings and to a close frame are dropped.
    /// Nothing waits in [`poll_transmit`](Self::poll_transmit) any more, and commands answer
    /// [`NotOpen`](crate::SendError::NotOpen). Such a transport ends soon: the only deadlines are
    /// [`Limits::closing_time`](crate::Limits::closing_time) from the last sign of life, while the application reads, and that
    /// of [`end_by`](Self::end_by). A close frame of this endpoint that has not left was not sent:
    /// [`close_info`](Self::close_info) says so.
    pub fn output_failed(&mut self) {
        self.transport = match self.transport {
            Transport::Open | Transport::OutputFailed => Transport::OutputFailed,
            Transport::InputEnded | Transport::Gone => Transport::Gone,
        };
        self.sending.abandon();
        if self.clock.abandon_output() && self.close.sent.is_some() {
            self.close.sent = None;
            self.close.initiator = self.close.received.map(|_| Initiator::Remote);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let size = size_of::<Connection<&'static Config>>();
        assert!(size <= 448, "Connection: {size}");
        assert!(size_of::<Receiving>() <= 64, "Receiving: {}", size_of::<Receiving>());
        assert!(size_of::<crate::ProtocolError>() <= 4);
        assert!(size_of::<crate::Failure>() <= 4);
        assert!(size_of::<crate::RecvBuffer<crate::Fixed<&mut [u8]>>>() <= 88);
        assert!(size_of::<crate::FrameHead>() <= 16);
    }
}
