//! What an endpoint allows and how long it waits. Every limit is on by default.

use core::time::Duration;

use crate::handshake::HeadLimits;

/// The configuration of a [`Connection`](crate::Connection), which refers to it: one for many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What a peer may cost.
    pub limits: Limits,
    /// How a silent peer is noticed.
    pub keepalive: Keepalive,
    /// Whole messages, or chunks as they arrive.
    pub delivery: Delivery,
}

/// What a peer may cost, in bytes, counts and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Payload of one frame, bytes. Default: no limit of its own (the message's holds).
    pub frame: u64,
    /// Payload of one message, all its fragments together, bytes. Default: 1 MiB. In a fixed buffer of N
    /// bytes whole messages are limited to N − 139 ([`FIXED_OVERHEAD`](crate::FIXED_OVERHEAD)) as well.
    pub message: u64,
    /// Frames of one message, empty ones too. Default: 131,072.
    pub fragments: u32,
    /// From the first byte of a message, or of a control frame, to its last, on top of one millisecond for each byte of
    /// the message received.
    /// Default: 60 s.
    pub message_time: Option<Duration>,
    /// From the connection's start to the end of the opening handshake. Default: 10 s. For `wirelet`; `wirelet-embedded` has
    /// settings of its own.
    pub handshake_time: Duration,
    /// From the moment that this endpoint's close frame has left to the end of the connection. Default: 5 s. Until it has
    /// left, `stalled_time` and `slowest` hold.
    pub closing_time: Duration,
    /// How long bytes may wait to be sent without the peer taking any of them. Default: 120 s. `None`: for ever.
    pub stalled_time: Option<Duration>,
    /// Bytes a second that the peer has to take on average over the time in which bytes wait to be sent. Looked at after
    /// 10 minutes of such time; then a new period begins. Default: 32. `None`: any speed will do. More than
    /// 7,000,000 counts as that.
    pub slowest: Option<u32>,
    /// From one fragment that this endpoint has sent to its next one of the same message, while nothing waits to be sent:
    /// a message that was begun and forgotten would keep the connection from sending any other. Default: 60 s. `None`:
    /// for ever.
    pub fragment_time: Option<Duration>,
    /// Request or response head, bytes. Default: 16 KiB. For `wirelet`; `wirelet-embedded` has the receive buffer.
    pub head_bytes: usize,
    /// Header fields of a head. Default: 128. For `wirelet`; an embedded server has a setting of its own.
    pub head_fields: u16,
    /// What senders of other tasks may queue for one connection, bytes: payload, and 40 for each message. Default: 1 MiB. For
    /// `wirelet`, where the output may hold as much again; `wirelet-embedded` has a queue of fixed size.
    pub queued: usize,
}

/// How a peer that has gone silent is noticed.
///
/// Whatever arrives is a sign of life, and so are bytes that the peer takes after it had taken none for a while
/// ([`Connection::sent`](crate::Connection::sent)). A peer that takes nothing is the matter of
/// [`Limits::stalled_time`], whatever is set here.
///
/// While the application does not take what has arrived, no ping is sent, and `ping`, `pong`, `idle` and
/// [`Limits::message_time`] stand still. A dead peer is then noticed only by [`Limits::stalled_time`], when something waits to
/// be sent. So keep receiving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// A ping is sent when there has been no sign of life for this long. Default: 20 s. `None`: no pings.
    pub ping: Option<Duration>,
    /// The connection fails when there is no sign of life within this time after a ping has left. Default: 20 s.
    pub pong: Duration,
    /// The connection fails when there has been no sign of life for this long, pings or not. Default: 120 s.
    /// `None`: no limit.
    pub idle: Option<Duration>,
}

/// How the payload of data messages reaches the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Delivery {
    /// Whole messages, assembled in place.
    #[default]
    Messages,
    /// Pieces as they arrive, so that a message may be larger than memory.
    Chunks,
}

impl Config {
    /// The defaults.
    pub const fn new() -> Self {
        Self { limits: Limits::new(), keepalive: Keepalive::new(), delivery: Delivery::Messages }
    }
}

impl Limits {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            frame: u64::MAX,
            message: 1 << 20,
            fragments: 131_072,
            message_time: Some(Duration::from_secs(60)),
            handshake_time: Duration::from_secs(10),
            closing_time: Duration::from_secs(5),
            stalled_time: Some(Duration::from_secs(120)),
            slowest: Some(32),
            fragment_time: Some(Duration::from_secs(60)),
            head_bytes: HeadLimits::DEFAULT.bytes,
            head_fields: HeadLimits::DEFAULT.headers,
            queued: 1 << 20,
        }
    }

    /// The limits on a request or response head.
    pub const fn head(&self) -> HeadLimits {
        HeadLimits { bytes: self.head_bytes, headers: self.head_fields }
    }
}

impl Keepalive {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            ping: Some(Duration::from_secs(20)),
            pong: Duration::from_secs(20),
            idle: Some(Duration::from_secs(120)),
        }
    }

    /// A ping after each `interval` of silence, and as long again for the answer; no idle limit.
    pub const fn every(interval: Duration) -> Self {
        Self { ping: Some(interval), pong: interval, idle: None }
    }

    /// No pings, no answer is expected to those of the application, and no limit on silence: a dead peer is noticed only when
    /// it takes nothing of what is sent to it.
    pub const fn off() -> Self {
        Self { ping: None, pong: Duration::MAX, idle: None }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Keepalive {
    fn default() -> Self {
        Self::new()
    }
}

impl AsRef<Self> for Config {
    fn as_ref(&self) -> &Self {
        self
    }
}
