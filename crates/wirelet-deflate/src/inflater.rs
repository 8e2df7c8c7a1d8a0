//! The decompressor: miniz_oxide's core around a window of the caller's.

use core::fmt;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use wirelet_proto::deflate::Window;
use wirelet_proto::{Codec, CodecError, Progress};

/// RFC 7692 7.2.2: what the sender of a message has left out at its end.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Decompresses messages through a window that the caller owns: `[u8; 1024]`, `&mut [u8]`, a box.
///
/// Besides the window, whose size is 2 to the power of the agreed bits, it takes about 10.5 KiB (10,744 bytes on 64-bit
/// and a little less on 32-bit machines), whatever the window:
///
/// | window bits | window, bytes | in all, bytes |
/// |---|---|---|
/// | 8 | 256 | 11,000 |
/// | 9 | 512 | 11,256 |
/// | 10 | 1,024 | 11,768 |
/// | 11 | 2,048 | 12,792 |
/// | 12 | 4,096 | 14,840 |
/// | 15 | 32,768 | 43,512 |
///
/// In flash it takes 8.6 KB on riscv32imc (`python3 bench/footprint/run.py`), without the encoder.
///
/// A value of that size should be made where it stays: in a `static`, in a task's own memory, or in a box. The window must
/// be as large as the peer's: ask for a small one (`client_max_window_bits` in a server's answer,
/// `server_max_window_bits` in a client's offer), since a peer that is not asked uses 15 bits.
///
/// Nothing is decompressed before there is room for it: at most one window of bytes waits for the caller, so that a
/// limit on what comes out is exact. Every call ends after work in proportion to the bytes given and written.
pub struct Inflater<W> {
    window: W,
    agreed: Window,
    core: DecompressorOxide,
    /// Where in the window the next byte goes.
    end: usize,
    /// Where in the window the next byte for the caller is.
    delivered: usize,
    /// Whether the window has been full: any distance up to its size reaches bytes of this stream.
    filled: bool,
    /// Whether the core has stopped because the window's end was reached.
    stopped: bool,
    /// Whether no block has begun since the start, or since a final block.
    fresh: bool,
    /// The last byte of the message that has been consumed, unless a final block has ended with it.
    last: Option<u8>,
    /// Nothing makes sense any more.
    corrupt: bool,
}

impl<W: AsMut<[u8]>> Inflater<W> {
    /// A decompressor for what the peer compresses as `agreed`: see [`Params::incoming`](wirelet_proto::deflate::Params::incoming).
    ///
    /// `None`: `window` has fewer bytes than the agreed window. What it has more is not used.
    pub fn new(mut window: W, agreed: Window) -> Option<Self> {
        window.as_mut().get(..size(agreed)?)?;
        Some(Self {
            window,
            agreed,
            core: DecompressorOxide::new(),
            end: 0,
            delivered: 0,
            filled: false,
            stopped: false,
            fresh: true,
            last: None,
            corrupt: false,
        })
    }

    /// Forgets everything, and decompresses what the next peer compresses as `agreed`. `false`: the window has too few
    /// bytes for that, and nothing has changed.
    #[must_use]
    pub fn restart(&mut self, agreed: Window) -> bool {
        let fits = size(agreed).is_some_and(|size| size <= self.window.as_mut().len());
        if fits {
            self.agreed = agreed;
            self.corrupt = false;
            self.stopped = false;
            self.forget();
        }
        fits
    }

    /// What was agreed on.
    pub const fn window(&self) -> Window {
        self.agreed
    }

    /// Copies what waits for the caller to the front of `output`; answers how much.
    fn deliver(&mut self, output: &mut [u8]) -> usize {
        let waiting = self.window.as_mut().get(self.delivered..self.end).unwrap_or_default();
        let len = waiting.len().min(output.len());
        if let (Some(to), Some(from)) = (output.get_mut(..len), waiting.get(..len)) {
            to.copy_from_slice(from);
        }
        self.delivered = self.delivered.wrapping_add(len);
        len
    }

    /// Runs the core over `input`, up to the end of the window; answers how much was consumed. Everything that waited
    /// has been delivered.
    fn run(&mut self, input: &[u8]) -> Result<usize, CodecError> {
        let size = size(self.agreed).unwrap_or_default();
        if self.end >= size {
            (self.end, self.delivered, self.filled) = (0, 0, true);
        }
        // Until the window has been full, distances that reach back before the first byte are corrupt. Later the core
        // refuses those that are larger than the window.
        let bounds = if self.filled { 0 } else { TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF };
        let window = self.window.as_mut().get_mut(..size).unwrap_or_default();
        let (status, consumed, produced) =
            decompress(&mut self.core, input, window, self.end, TINFL_FLAG_HAS_MORE_INPUT | bounds);
        self.end = self.end.wrapping_add(produced);
        self.stopped = status == TINFLStatus::HasMoreOutput;
        match status {
            // RFC 7692 7.2.3.4: after a final block the next one begins at the next byte, in the same window.
            TINFLStatus::Done => {
                self.core.init();
                (self.fresh, self.last) = (true, None);
            }
            TINFLStatus::NeedsMoreInput | TINFLStatus::HasMoreOutput => {
                if let Some(last) = consumed.checked_sub(1).and_then(|at| input.get(at)) {
                    (self.fresh, self.last) = (false, Some(*last));
                }
            }
            _ => return Err(CodecError),
        }
        Ok(consumed)
    }

    /// Whether the next bit, if there is one, is the first of a byte and of a block.
    fn between_blocks(&self) -> bool {
        self.fresh || self.core.block_boundary_state().is_some_and(|state| state.num_bits == 0)
    }

    /// Ends a message all of which has been delivered.
    fn end_message(&mut self) -> Result<(), CodecError> {
        // RFC 7692 7.2.1: a message ends in the header of an empty block without compression. Some senders end it with a final block, or
        // of no bytes at all: then nothing is missing. The header has a zero bit in the last byte. Where there is none the whole
        // block was left on.
        let last = self.last.take();
        if last.is_some() && !(last == Some(0xff) && self.between_blocks()) {
            // RFC 7692 7.2.2: they end the empty block that ends every message, and are nothing else.
            let before = self.end;
            let consumed = self.run(&TAIL)?;
            let is_empty = self.end == before || (before == self.size() && self.end == 0);
            if consumed < TAIL.len() || !is_empty || !self.between_blocks() {
                return Err(CodecError);
            }
            self.last = None;
        }
        // RFC 7692 7.1.1: without context takeover the window is empty when the next message begins.
        if !self.agreed.takeover {
            self.forget();
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.core.init();
        (self.end, self.delivered, self.filled) = (0, 0, false);
        (self.fresh, self.last) = (true, None);
    }

    fn size(&self) -> usize {
        size(self.agreed).unwrap_or_default()
    }

    fn advance(&mut self, input: &[u8], output: &mut [u8], last: bool) -> Result<Progress, CodecError> {
        let (mut consumed, mut produced) = (0usize, 0usize);
        loop {
            let room = output.get_mut(produced..).unwrap_or_default();
            produced = produced.wrapping_add(self.deliver(room));
            if self.delivered < self.end {
                return Ok(Progress { consumed, produced, done: false });
            }
            let rest = input.get(consumed..).unwrap_or_default();
            if rest.is_empty() && !self.stopped {
                if last {
                    self.end_message()?;
                }
                return Ok(Progress { consumed, produced, done: true });
            }
            consumed = consumed.wrapping_add(self.run(rest)?);
        }
    }
}

impl<W: AsMut<[u8]>> Codec for Inflater<W> {
    fn decompress(&mut self, input: &[u8], output: &mut [u8], last: bool) -> Result<Progress, CodecError> {
        if self.corrupt {
            return Err(CodecError);
        }
        let progress = self.advance(input, output, last);
        self.corrupt = progress.is_err();
        progress
    }
}

impl<W> fmt::Debug for Inflater<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater")
            .field("agreed", &self.agreed)
            .field("corrupt", &self.corrupt)
            .finish_non_exhaustive()
    }
}

/// Bytes of a window.
fn size(window: Window) -> Option<usize> {
    (8..=15).contains(&window.bits).then(|| 1usize.wrapping_shl(window.bits.into()))
}
