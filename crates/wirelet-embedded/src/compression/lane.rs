//! Lanes: the decompressor and the small encoder with their memory, and the pool that lends them.

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::mutex::{Mutex, MutexGuard};
use wirelet_deflate::{Deflater, Inflater};
use wirelet_proto::deflate::{Params, Settings, Window};
use wirelet_proto::{
    Codec, CodecError, Compressor, Config, Connection, Event, Failure, Fixed, Flush, Instant, MaskKeys,
    Progress, RecvBuffer, Role, Status,
};

use super::{Compression, Inflow, Lane, Lend, Outflow, Received, Reservation, Way};

/// Messages shorter than this, bytes, are sent as they are: the smallest of what compression adds is 1 byte, the least
/// that it saves is found in some 40.
const THRESHOLD: usize = 48;

/// Bytes that the encoder needs for windows of up to 2^`window_bits` bytes, 8–12 bits: the third parameter of [`Pool`].
pub const fn encoder(window_bits: u8) -> usize {
    Deflater::memory(window_bits)
}

/// Lanes for connections that agree on compression, `LANES` of them at the same time.
///
/// A lane is what a connection needs to be compressed both ways, besides its own memory:
///
/// - `WINDOW`, bytes: the window of what is received, a power of two from 256 to 32,768. Peers are told not to use more.
/// - `OUT`, bytes: room for what is decompressed. Whole messages take up to `OUT − 139`; chunks pass at any size.
/// - `ENCODER`, bytes: [`encoder`] of the largest window to send with, from 8 to 12 bits.
///
/// The decompressor takes 10.5 KiB more. `Pool::<512, 1024, { encoder(9) }, 1>` has 16 KiB in all; a test counts it. On a device
/// it belongs in a `StaticCell`, made in place by `init_with`. One pool can serve a server and clients.
pub struct Pool<const WINDOW: usize, const OUT: usize, const ENCODER: usize, const LANES: usize> {
    lanes: [Mutex<CriticalSectionRawMutex, Memory<WINDOW, OUT, ENCODER>>; LANES],
}

/// A lane in use.
pub(crate) type Lent<'m> = MutexGuard<'m, CriticalSectionRawMutex, dyn Lane>;

impl<const WINDOW: usize, const OUT: usize, const ENCODER: usize, const LANES: usize>
    Pool<WINDOW, OUT, ENCODER, LANES>
{
    /// Lanes that nobody uses yet. Windows live on from message to message, which is what makes small messages small.
    pub fn new() -> Self {
        Self::with_takeover(true)
    }

    /// Lanes that nobody uses yet; `takeover`: whether windows live on from message to message.
    pub fn with_takeover(takeover: bool) -> Self {
        Self { lanes: core::array::from_fn(|_| Mutex::new(Memory::new(takeover))) }
    }

    /// How many lanes are not in use.
    pub fn free(&self) -> usize {
        self.lanes.iter().filter(|lane| lane.try_lock().is_ok()).count()
    }

    /// For [`Server::with_compression`](crate::Server::with_compression) and
    /// [`Client::with_compression`](crate::Client::with_compression).
    pub const fn compression(&self) -> Compression<'_> {
        Compression(self)
    }
}

impl<const WINDOW: usize, const OUT: usize, const ENCODER: usize, const LANES: usize> Lend
    for Pool<WINDOW, OUT, ENCODER, LANES>
{
    fn reserve(&self) -> Option<Reservation<'_>> {
        self.lanes.iter().find_map(|lane| {
            let lane: &Mutex<CriticalSectionRawMutex, dyn Lane> = lane;
            lane.try_lock().ok().map(Reservation)
        })
    }
}

impl<const WINDOW: usize, const OUT: usize, const ENCODER: usize, const LANES: usize> Default
    for Pool<WINDOW, OUT, ENCODER, LANES>
{
    fn default() -> Self {
        Self::new()
    }
}

impl<const WINDOW: usize, const OUT: usize, const ENCODER: usize, const LANES: usize> core::fmt::Debug
    for Pool<WINDOW, OUT, ENCODER, LANES>
{
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Pool").field("lanes", &LANES).field("free", &self.free()).finish()
    }
}

/// The memory of a lane.
struct Memory<const WINDOW: usize, const OUT: usize, const ENCODER: usize> {
    inflow: Decompression<WINDOW, OUT>,
    outflow: Compressing<ENCODER>,
    settings: Settings,
}

struct Decompression<const WINDOW: usize, const OUT: usize> {
    codec: Limited<WINDOW>,
    out: RecvBuffer<Fixed<[u8; OUT]>>,
}

/// A decompressor that gives no more at a time than an echo has room for.
struct Limited<const WINDOW: usize> {
    /// There is one: the window is what [`Memory`] says.
    inflater: Option<Inflater<[u8; WINDOW]>>,
    chunk: usize,
}

struct Compressing<const ENCODER: usize> {
    /// There is one: the memory is what [`Memory`] says.
    deflater: Option<Deflater<[u8; ENCODER]>>,
    /// Whether the message that has begun and not ended is compressed.
    message: Option<bool>,
    /// The encoder knows things that the peer does not, or the peer's window is none that it has.
    unusable: bool,
}

impl<const WINDOW: usize, const OUT: usize, const ENCODER: usize> Memory<WINDOW, OUT, ENCODER> {
    const WINDOW_BITS: u8 = {
        assert!(WINDOW.is_power_of_two() && WINDOW >= 256 && WINDOW <= 32_768, "not a window");
        WINDOW.trailing_zeros() as u8
    };

    const ENCODER_BITS: u8 = {
        assert!(ENCODER >= encoder(8), "too little memory for the smallest window");
        let mut bits = 8;
        while bits < 12 && encoder(bits + 1) <= ENCODER {
            bits += 1;
        }
        bits
    };

    fn new(takeover: bool) -> Self {
        const { assert!(OUT >= 256, "too little room for what is decompressed") }
        let window = |bits| Window { bits, takeover };
        let settings = Settings {
            outgoing: window(Self::ENCODER_BITS),
            outgoing_smallest: 8,
            incoming: window(Self::WINDOW_BITS),
        };
        Self {
            inflow: Decompression {
                codec: Limited { inflater: Inflater::new([0; WINDOW], settings.incoming), chunk: usize::MAX },
                out: RecvBuffer::new(Fixed::new([0; OUT])),
            },
            outflow: Compressing {
                deflater: Deflater::new([0; ENCODER], settings.outgoing),
                message: None,
                unusable: false,
            },
            settings,
        }
    }
}

impl<const WINDOW: usize, const OUT: usize, const ENCODER: usize> Lane for Memory<WINDOW, OUT, ENCODER> {
    fn settings(&self) -> Settings {
        self.settings
    }

    fn open(&mut self, role: Role, params: Params, chunk: usize) {
        // A window that was agreed on is at most the settings'. If it were not, messages would fail, not memory.
        if let Some(inflater) = &mut self.inflow.codec.inflater
            && !inflater.restart(params.incoming(role))
        {
            self.inflow.codec.inflater = None;
        }
        self.inflow.codec.chunk = chunk;
        self.outflow.message = None;
        let window = params.outgoing(role);
        let restarted = self.outflow.deflater.as_mut().is_some_and(|deflater| deflater.restart(window));
        self.outflow.unusable = !restarted;
    }

    fn flows(&mut self) -> (Way<'_, dyn Inflow + '_>, Way<'_, dyn Outflow + '_>) {
        (&mut self.inflow, &mut self.outflow)
    }
}

impl<const WINDOW: usize> Codec for Limited<WINDOW> {
    fn decompress(&mut self, input: &[u8], output: &mut [u8], last: bool) -> Result<Progress, CodecError> {
        let room = output.len().min(self.chunk);
        let inflater = self.inflater.as_mut().ok_or(CodecError)?;
        inflater.decompress(input, output.get_mut(..room).unwrap_or_default(), last)
    }
}

impl<const WINDOW: usize, const OUT: usize> Inflow for Decompression<WINDOW, OUT> {
    fn advance(
        &mut self,
        core: &mut Connection<&Config>,
        rx: &mut Received<'_>,
        keys: &mut dyn MaskKeys,
        now: Instant,
    ) -> Result<Status, Failure> {
        core.advance_with(rx, &mut self.codec, &mut self.out, &mut &mut *keys, now)
    }

    fn event<'e>(&'e self, core: &Connection<&Config>, rx: &'e Received<'_>) -> Event<'e> {
        core.event_with(rx, &self.out)
    }
}

impl<const ENCODER: usize> Outflow for Compressing<ENCODER> {
    fn wants(&self, len: usize, fin: bool) -> bool {
        self.message.unwrap_or(!self.unusable && (!fin || len >= THRESHOLD))
    }

    fn queued(&mut self, compressed: bool, fin: bool) {
        self.message = (!fin).then_some(compressed);
    }

    fn in_message(&self) -> bool {
        self.message == Some(true)
    }

    fn compress(&mut self, mut piece: &[u8], out: &mut [u8], flush: Flush) -> Option<usize> {
        let deflater = self.deflater.as_mut()?;
        let mut len = 0;
        loop {
            let room = out.get_mut(len..).unwrap_or_default();
            let progress = deflater.compress(piece, room, flush);
            len = len.saturating_add(progress.produced);
            if progress.done {
                return Some(len);
            }
            piece = piece.get(progress.consumed..).unwrap_or_default();
            if progress.produced == 0 && progress.consumed == 0 {
                self.unusable = true;
                return None;
            }
        }
    }

    fn abandon(&mut self) {
        self.unusable = true;
    }
}
