//! What an application asks for, and what became of it.

use wirelet_proto::deflate::{Params, Settings, Window};

/// The smallest window that is compressed with, bits: zlib has none of 8, and calls one of 9 so.
const SMALLEST: u8 = 9;
/// The largest window, bits.
const LARGEST: u8 = 15;

/// How messages are compressed (permessage-deflate, RFC 7692).
///
/// Nothing is compressed unless a server, a route or a client is given one of these; and the peer has to agree.
///
/// | | more bytes for an idle connection | ratio | a message that is sent refers to |
/// |---|---|---|---|
/// | [`shared`](Self::shared), the default | 115 | 3.0 | itself |
/// | [`windowed`](Self::windowed), 1,024 | 1,139 | 4.5 | itself and the 1,024 bytes before it |
/// | [`dedicated`](Self::dedicated), 15 bits | 428,000 | 4.9 | itself and the 32 KiB before it |
/// | [`dedicated`](Self::dedicated), 9 bits, memory level 1 | 185,000 | 3.1 | itself and the 512 bytes before it |
///
/// (`cargo test -p wirelet --test budget_compression -- --nocapture`, and for the ratio, that of 200 quotations of 1 KiB of JSON,
/// `cargo test -p wirelet --lib the_kept_bytes_pay -- --nocapture`)
///
/// `shared` and `windowed` have one encoder for all connections of a thread, of 130 KiB, made for small messages; `dedicated`
/// has zlib's (by zlib-rs). What is received is decompressed by zlib-rs: with one decompressor for each thread (48 KB) where
/// messages are delivered whole, each when it has arrived completely, after one made for small messages (19 KB) has looked
/// whether it can take it; with one of the connection's own in `dedicated`. Where
/// [chunks](wirelet_proto::Delivery::Chunks) are delivered without context takeover a message borrows one of 64 that the
/// process has, until it ends; a connection for which none is left is not read until it is its turn, and its deadlines stand
/// still meanwhile. How long a peer can keep one is bounded by
/// [`Limits::message_time`](wirelet_proto::Limits::message_time).
///
/// [`Limits::message`](wirelet_proto::Limits::message) holds for what comes out, and ends a bomb at that very byte (1009). What
/// is on the wire may have 1/8 and 1 KiB more.
///
/// Compression reveals, by the length of what is sent, whether something in a message repeats: a secret that is sent in
/// one message (or, with `windowed` and `dedicated`, on one connection) with text that an attacker chooses can be guessed
/// byte by byte. Send such messages with [`Compress::Never`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    pub(super) mode: Mode,
    /// The largest window, bits.
    pub(super) bits: u8,
    pub(super) level: u8,
    pub(super) memory: u8,
    /// Bytes.
    pub(super) threshold: usize,
    /// Connections.
    pub(super) most: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Off,
    Shared,
    /// Bytes that are kept.
    Windowed(u16),
    Dedicated,
}

/// Whether one message is compressed, where the connection can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compress {
    /// If it has as many bytes as [`Compression::threshold`] says, or its length is not known because it is sent in
    /// fragments.
    #[default]
    Auto,
    /// It is not: because it is compressed data, or has a secret in it.
    Never,
    /// It is, however short, unless that would make it longer.
    Always,
}

impl Compression {
    /// The default of [`threshold`](Self::threshold), bytes. Below it a message of JSON loses some 30 bytes at best, and
    /// fits the same segment in either form.
    pub const THRESHOLD: usize = 128;
    /// The default of [`level`](Self::level).
    pub const LEVEL: u8 = 5;

    /// Nothing is compressed: offers are not answered, and none is made.
    pub const fn off() -> Self {
        Self::new(Mode::Off)
    }

    /// Each thread has one compressor and one decompressor for all its connections. No message refers to another one, in
    /// either direction, and a compressed message is decompressed when it has arrived completely.
    pub const fn shared() -> Self {
        Self::new(Mode::Shared)
    }

    /// As [`shared`](Self::shared), but a message that is sent may refer to the last `bytes` bytes (at most 4,096) of the
    /// messages before it, which are kept for each connection.
    pub const fn windowed(bytes: u16) -> Self {
        Self::new(Mode::Windowed(if bytes > 4096 { 4096 } else { bytes }))
    }

    /// Connections have compressors and decompressors of their own, zlib's, that live from message to message. The window to
    /// compress with has 2^`bits` bytes, 9–15; a peer may use one of 32 KiB, which costs nothing more here. At most
    /// [`most`](Self::most) connections of the process have them; others are `shared`.
    pub const fn dedicated(bits: u8) -> Self {
        Self { bits: within(bits, SMALLEST, LARGEST), ..Self::new(Mode::Dedicated) }
    }

    const fn new(mode: Mode) -> Self {
        Self { mode, bits: LARGEST, level: Self::LEVEL, memory: 8, threshold: Self::THRESHOLD, most: 1000 }
    }

    /// From 1, the fastest, to 9, the smallest, as zlib numbers them. Default: 5.
    #[must_use]
    pub const fn level(mut self, level: u8) -> Self {
        self.level = within(level, 1, 9);
        self
    }

    /// The largest window to compress with, 9–15 bits: 2^bits bytes. A peer may ask for less; one that asks for 8 gets no
    /// compression. Default: 15.
    #[must_use]
    pub const fn window_bits(mut self, bits: u8) -> Self {
        self.bits = within(bits, SMALLEST, LARGEST);
        self
    }

    /// zlib's memory level, 1–9, of [`dedicated`](Self::dedicated) compressors: 137 KB at level 1 with 9 window bits, 380 KB at
    /// level 8 with 15. Default: 8.
    #[must_use]
    pub const fn memory_level(mut self, level: u8) -> Self {
        self.memory = within(level, 1, 9);
        self
    }

    /// Messages of fewer bytes are sent as they are. Default: 128.
    #[must_use]
    pub const fn threshold(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }

    /// How many connections of the process may be [`dedicated`](Self::dedicated) at a time. Default: 1,000.
    #[must_use]
    pub const fn most(mut self, connections: usize) -> Self {
        self.most = connections;
        self
    }

    /// What to negotiate with, for a handshake that another HTTP library performs; `None`: nothing.
    pub const fn settings(&self) -> Option<Settings> {
        let takes_over = Window { bits: self.bits, takeover: true };
        let (outgoing, incoming) = match self.mode {
            Mode::Off => return None,
            Mode::Shared => (Window::fresh(self.bits), Window::fresh(LARGEST)),
            Mode::Windowed(_) => (takes_over, Window::fresh(LARGEST)),
            // What is decompressed has a window of 32 KiB in any case.
            Mode::Dedicated => (takes_over, Window::kept(LARGEST)),
        };
        Some(Settings { outgoing, outgoing_smallest: SMALLEST, incoming })
    }

    pub(crate) const fn is_dedicated(&self) -> bool {
        matches!(self.mode, Mode::Dedicated)
    }

    /// What a connection gets instead of a compressor of its own.
    pub(crate) const fn without_own(mut self) -> Self {
        self.mode = Mode::Shared;
        self
    }

    /// Whether a window of `bits` can be compressed with.
    pub(super) const fn can_compress(bits: u8) -> bool {
        bits >= SMALLEST
    }
}

impl Default for Compression {
    /// [`shared`](Self::shared).
    fn default() -> Self {
        Self::shared()
    }
}

const fn within(value: u8, least: u8, most: u8) -> u8 {
    if value < least {
        least
    } else if value > most {
        most
    } else {
        value
    }
}

/// What was agreed on for a connection, and what it has saved so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompressionInfo {
    /// What the opening handshake has agreed on.
    pub params: Params,
    /// The messages that were sent.
    pub sent: Volume,
    /// The messages that were received.
    pub received: Volume,
}

/// Messages before and after compression, those that were not compressed too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// As the application sees them, bytes.
    pub plain: u64,
    /// As payload on the wire, bytes.
    pub wire: u64,
}

impl Volume {
    /// How many times smaller the messages were on the wire; `None` as long as there were none.
    pub fn ratio(&self) -> Option<f64> {
        (self.wire > 0).then(|| self.plain as f64 / self.wire as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stay_in_their_range() {
        let least = Compression::dedicated(8).level(0).memory_level(0);
        assert_eq!((least.bits, least.level, least.memory), (9, 1, 1));
        let most = Compression::windowed(u16::MAX).level(10).memory_level(10).window_bits(16);
        assert_eq!((most.mode, most.bits, most.level, most.memory), (Mode::Windowed(4096), 15, 9, 9));
        assert_eq!(Compression::off().settings(), None);
    }

    #[test]
    fn only_what_pays_for_it_keeps_a_context() {
        let takeover = |compression: Compression| {
            let settings = compression.settings().unwrap();
            (settings.outgoing.takeover, settings.incoming.takeover)
        };
        assert_eq!(takeover(Compression::default()), (false, false));
        assert_eq!(takeover(Compression::windowed(1024)), (true, false));
        assert_eq!(takeover(Compression::dedicated(12)), (true, true));
        assert_eq!(takeover(Compression::dedicated(12).without_own()), (false, false));
    }
}
