//! Compression in pieces, messages to compress, and zlib-rs and miniz_oxide as references.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use miniz_oxide::inflate::stream::{InflateState, MinReset};
use miniz_oxide::{DataFormat, MZFlush};
use wirelet_deflate::Deflater;
use wirelet_proto::deflate::Window;
use wirelet_proto::{Codec, CodecError, Compressor, Flush};

use crate::random::Rng;
use crate::telemetry::{Device, KINDS};

/// RFC 7692 7.2.1: what is left out at the end of a message.
pub const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// An encoder with the memory that it should have.
pub fn deflater(window: Window) -> Deflater<Vec<u8>> {
    Deflater::new(vec![0xaa; Deflater::memory(window.bits)], window).expect("enough memory")
}

/// Sizes of pieces, one after the other, over and over.
#[derive(Clone, Debug)]
pub struct Sizes<'a> {
    sizes: &'a [usize],
    next: usize,
}

impl<'a> Sizes<'a> {
    /// At least one of `sizes` is not zero.
    pub fn new(sizes: &'a [usize]) -> Self {
        assert!(sizes.iter().any(|size| *size > 0), "nothing would ever move");
        Self { sizes, next: 0 }
    }

    /// Room for the largest.
    fn room(&self) -> Vec<u8> {
        vec![0xcc; self.sizes.iter().copied().max().unwrap_or_default()]
    }

    fn take(&mut self) -> usize {
        self.next += 1;
        self.sizes[(self.next - 1) % self.sizes.len()]
    }
}

/// Compresses `message` or a fragment of one, in pieces of `inputs`, through rooms of `outputs`.
pub fn compress(
    compressor: &mut impl Compressor,
    message: &[u8],
    flush: Flush,
    inputs: &[usize],
    outputs: &[usize],
) -> Vec<u8> {
    let (mut inputs, mut outputs) = (Sizes::new(inputs), Sizes::new(outputs));
    let (mut rest, mut out, mut room) = (message, Vec::new(), outputs.room());
    loop {
        let piece = inputs.take().min(rest.len());
        let flush = if piece == rest.len() { flush } else { Flush::None };
        let (mut input, after) = rest.split_at(piece);
        loop {
            let room = &mut room[..outputs.take()];
            let progress = compressor.compress(input, room, flush);
            assert!(progress.done || !room.is_empty() || progress.produced == 0);
            input = &input[progress.consumed..];
            out.extend_from_slice(&room[..progress.produced]);
            if progress.done {
                assert!(input.is_empty(), "done before all was consumed");
                break;
            }
            assert!(progress.produced == room.len(), "not done, and there was room");
        }
        rest = after;
        if rest.is_empty() && flush != Flush::None {
            return out;
        }
        if rest.is_empty() && piece == 0 {
            return out;
        }
    }
}

/// Decompresses one message, in pieces of `inputs`, through rooms of `outputs`.
///
/// # Errors
/// The data is corrupt; with what came out before.
pub fn decompress(
    codec: &mut impl Codec,
    payload: &[u8],
    inputs: &[usize],
    outputs: &[usize],
) -> Result<Vec<u8>, (CodecError, Vec<u8>)> {
    let (mut inputs, mut outputs) = (Sizes::new(inputs), Sizes::new(outputs));
    let (mut rest, mut out, mut room) = (payload, Vec::new(), outputs.room());
    loop {
        let (mut input, after) = rest.split_at(inputs.take().min(rest.len()));
        loop {
            let room = &mut room[..outputs.take()];
            let progress = match codec.decompress(input, room, after.is_empty()) {
                Ok(progress) => progress,
                Err(error) => return Err((error, out)),
            };
            input = &input[progress.consumed..];
            out.extend_from_slice(&room[..progress.produced]);
            if progress.done {
                assert!(input.is_empty(), "done before all was consumed");
                break;
            }
            assert!(progress.produced == room.len(), "not done, and there was room");
        }
        rest = after;
        if rest.is_empty() {
            return Ok(out);
        }
    }
}

/// What an encoder's output must come back through: messages of one connection, each decompressed by zlib-rs and by
/// miniz_oxide.
pub struct References {
    takeover: bool,
    zlib: Decompress,
    miniz: Box<InflateState>,
}

impl References {
    /// For what is compressed with `window`. zlib knows no window of 8 bits: it has 9 then.
    pub fn new(window: Window) -> Self {
        Self {
            takeover: window.takeover,
            zlib: Decompress::new_with_window_bits(false, window.bits.max(9)),
            miniz: InflateState::new_boxed(DataFormat::Raw),
        }
    }

    /// For another connection, with a window of at most the same size.
    pub fn restart(&mut self, takeover: bool) {
        self.takeover = takeover;
        self.forget();
    }

    /// Checks that `payload` is `message`.
    ///
    /// # Errors
    /// Which reference says otherwise.
    pub fn check(&mut self, payload: &[u8], message: &[u8]) -> Result<(), &'static str> {
        let wire = [payload, &TAIL].concat();
        if self.zlib(&wire, message.len()).as_deref() != Some(message) {
            return Err("zlib-rs");
        }
        if self.miniz(&wire, message.len()).as_deref() != Some(message) {
            return Err("miniz_oxide");
        }
        if !self.takeover {
            self.forget();
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.zlib.reset(false);
        self.miniz.reset_as(MinReset);
    }

    fn zlib(&mut self, wire: &[u8], len: usize) -> Option<Vec<u8>> {
        // One byte more than there should be, to see that there is no more.
        let mut out = Vec::with_capacity(len + 1);
        let before = self.zlib.total_in();
        let status = self.zlib.decompress_vec(wire, &mut out, FlushDecompress::Sync).ok()?;
        (status == Status::Ok && self.zlib.total_in() - before == wire.len() as u64).then_some(out)
    }

    fn miniz(&mut self, wire: &[u8], len: usize) -> Option<Vec<u8>> {
        let mut out = vec![0; len + 1];
        let (mut consumed, mut produced) = (0, 0);
        while consumed < wire.len() {
            let result = miniz_oxide::inflate::stream::inflate(
                &mut self.miniz,
                &wire[consumed..],
                &mut out[produced..],
                MZFlush::None,
            );
            result.status.ok()?;
            consumed += result.bytes_consumed;
            produced += result.bytes_written;
        }
        out.truncate(produced);
        Some(out)
    }
}

/// zlib-rs as RFC 7692 uses it: level 6, memory level 8, raw, one message after the other.
pub struct Zlib {
    takeover: bool,
    stream: Compress,
}

impl Zlib {
    /// With a window of 9–15 bits.
    pub fn new(window: Window) -> Self {
        let stream = Compress::new_with_window_bits(Compression::new(6), false, window.bits);
        Self { takeover: window.takeover, stream }
    }

    /// The payload of a message. That of an empty one may be empty: zlib makes nothing of nothing when it has just been
    /// flushed.
    pub fn message(&mut self, message: &[u8]) -> Vec<u8> {
        let mut payload = self.fragment(message);
        assert!(payload.ends_with(&TAIL) || message.is_empty(), "a sync flush ends with an empty block");
        payload.truncate(payload.len().saturating_sub(TAIL.len()));
        if !self.takeover {
            self.stream.reset();
        }
        payload
    }

    /// The payload of a fragment that is not the last.
    pub fn fragment(&mut self, fragment: &[u8]) -> Vec<u8> {
        let mut payload = Vec::with_capacity(fragment.len() + fragment.len() / 100 + 64);
        let status = self.stream.compress_vec(fragment, &mut payload, FlushCompress::Sync);
        assert!(status.is_ok() && payload.len() < payload.capacity(), "all has come out");
        payload
    }
}

/// Messages of all kinds and sizes, most of them short.
#[derive(Clone, Debug)]
pub struct Messages {
    rng: Rng,
    device: Device,
    last: Vec<u8>,
}

impl Messages {
    /// The same seed, the same messages.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let kind = KINDS[rng.below(KINDS.len())];
        let size = 200 + rng.below(2800);
        Self { device: Device::new(kind, size, seed), rng, last: Vec::new() }
    }

    /// The next one.
    pub fn message(&mut self) -> Vec<u8> {
        let len = mostly_small(&mut self.rng);
        let rng = &mut self.rng;
        let message = match rng.below(8) {
            0 => self.device.message().into_bytes(),
            1 => rng.bytes(len),
            2 => {
                let letters = 1 + rng.below(40);
                (0..len).map(|_| b'A' + rng.below(letters) as u8).collect()
            }
            3 => {
                let period = 1 + rng.below(600);
                rng.bytes(period).into_iter().cycle().take(len).collect()
            }
            4 => vec![rng.next() as u8; len],
            5 => rng.text(len).into_bytes(),
            6 => self.changed(),
            _ => self.copies(len),
        };
        self.last.clone_from(&message);
        message
    }

    /// The last message with a few changes.
    fn changed(&mut self) -> Vec<u8> {
        let mut message = self.last.clone();
        for _ in 0..self.rng.below(9) {
            let at = self.rng.below(message.len() + 1);
            match self.rng.below(3) {
                0 => message.truncate(at),
                1 => message.insert(at, self.rng.next() as u8),
                _ => message.iter_mut().skip(at).take(3).for_each(|byte| *byte ^= 1),
            }
        }
        message
    }

    /// Random bytes among copies of what came before, from all distances.
    fn copies(&mut self, len: usize) -> Vec<u8> {
        let mut message = Vec::new();
        while message.len() < len {
            let fresh = self.rng.below(20);
            message.extend(self.rng.bytes(fresh));
            let distance = 1 + mostly_small(&mut self.rng);
            for _ in 0..self.rng.below(400) {
                match message.len().checked_sub(distance) {
                    Some(at) => message.push(message[at]),
                    None => break,
                }
            }
        }
        message.truncate(len);
        message
    }
}

/// Up to 8 KiB, and half of the time less than 128.
fn mostly_small(rng: &mut Rng) -> usize {
    let bits = 1 + rng.below(13);
    rng.below(1 << bits)
}
