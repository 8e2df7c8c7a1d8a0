//! zlib-rs as a decompressor.

use std::cell::RefCell;

use wirelet_deflate::whole::Decoder;
use wirelet_proto::{Codec, CodecError, Progress};
use zlib_rs::{Inflate, InflateFlush, Status};

use super::weight::Blocks;

/// What the sender has left out (RFC 7692 7.2.1), and behind it what must not be taken.
const TAIL: [u8; 12] = [0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
/// What of it the sender has left out, bytes.
const TAIL_LEN: usize = 4;
/// A whole empty block without compression, and behind it what must not be taken.
const EMPTY: [u8; 12] = [0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
/// Of it the block, bytes.
const EMPTY_LEN: usize = 5;

/// A decompressor that says what it costs.
pub(super) trait Weighed: Codec {
    /// The work since it was asked last, in bytes that come out.
    fn take_work(&mut self) -> usize;
}

/// A decompressor with a window of its own: 47.5 KB.
pub(super) struct Inflater {
    inflate: Inflate,
    /// The window lives on from message to message.
    takeover: bool,
    /// The last byte of the message that has been consumed, unless a stream has ended with it.
    last: Option<u8>,
    blocks: Blocks,
    work: usize,
}

impl Inflater {
    pub(super) fn new(takeover: bool) -> Self {
        let (blocks, work) = (Blocks::default(), 0);
        Self { inflate: Inflate::new(false, 15), takeover, last: None, blocks, work }
    }

    fn boxed() -> Box<Self> {
        Box::new(Self::new(false))
    }

    /// Forgets everything.
    pub(super) fn reset(&mut self) {
        self.inflate.reset(false);
        self.last = None;
        self.blocks = Blocks::default();
    }

    /// Ends a message of which everything was consumed.
    fn end(&mut self, output: &mut [u8]) -> Result<(), CodecError> {
        // RFC 7692 7.2.1: a message ends in the header of an empty block without compression, whose rest is put back here. Some senders
        // end it with a block that ends a stream, or of no bytes at all: then it has ended, and nothing is missing.
        let Some(last) = self.last.take() else { return Ok(()) };
        // At the end of a block zlib stops before it asks for the next one. With the tail the data is complete: it takes
        // the tail and nothing behind it, and nothing comes out, or the message ended in the middle of something. The header
        // has a zero bit in the last byte. Where there is none the whole block was left on, and another one fits behind it.
        let (behind, len) = if last == 0xff { (EMPTY, EMPTY_LEN) } else { (TAIL, TAIL_LEN) };
        match self.run(&behind, output, InflateFlush::Block)? {
            (consumed, 0, false) if consumed == len => Ok(()),
            // It ended with the last block of a stream, behind which zlib had stopped.
            (0, 0, true) => Ok(()),
            _ => Err(CodecError),
        }
    }

    /// One call of zlib's: what it has consumed, produced, and whether a stream has ended.
    fn run(
        &mut self,
        input: &[u8],
        output: &mut [u8],
        flush: InflateFlush,
    ) -> Result<(usize, usize, bool), CodecError> {
        let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(input, output, flush).map_err(|_| CodecError)?;
        let consumed = (self.inflate.total_in() - before_in) as usize;
        let produced = (self.inflate.total_out() - before_out) as usize;
        let ended = status == Status::StreamEnd;
        if ended {
            // RFC 7692 7.2.3.4: a block with BFINAL set ends a stream, not the message. What follows is another stream,
            // whose sender has begun anew.
            self.reset();
        }
        Ok((consumed, produced, ended))
    }
}

impl Codec for Inflater {
    fn decompress(&mut self, input: &[u8], output: &mut [u8], last: bool) -> Result<Progress, CodecError> {
        let (mut consumed, mut produced) = (0, 0);
        // With nothing to consume there may still be something that had no room.
        while produced < output.len() {
            let (rest, room) = (&input[consumed..], &mut output[produced..]);
            let step = self.blocks.step(rest, room.len());
            let (some, more, ended) = self.run(&rest[..step.len], room, step.flush)?;
            self.work += self.blocks.weigh(step, some, more, ended);
            consumed += some;
            produced += more;
            if some > 0 && !ended {
                self.last = input[..consumed].last().copied();
            }
            if consumed == input.len() {
                break;
            }
            if !ended && some == 0 && more == 0 {
                return Err(CodecError);
            }
        }
        // Where the output is full there may be more.
        if consumed < input.len() || produced == output.len() {
            return Ok(Progress { consumed, produced, done: false });
        }
        if !last {
            return Ok(Progress { consumed, produced, done: true });
        }
        self.end(&mut output[produced..])?;
        // The tail is an empty stored block: the next message begins behind it, with a byte.
        self.blocks = Blocks::default();
        if !self.takeover {
            self.reset();
        }
        Ok(Progress { consumed, produced, done: true })
    }
}

impl Weighed for Inflater {
    fn take_work(&mut self) -> usize {
        std::mem::take(&mut self.work)
    }
}

/// The decompressors of a thread, made when they are first needed.
struct Shared {
    small: Option<Box<Decoder>>,
    /// For all that `small` does not take.
    any: Option<Box<Inflater>>,
}

thread_local! {
    static SHARED: RefCell<Shared> = const { RefCell::new(Shared { small: None, any: None }) };
}

/// `None` while the thread ends and its decompressors are gone.
fn with_shared<T>(work: impl FnOnce(&mut Shared) -> T) -> Option<T> {
    SHARED.try_with(|shared| work(&mut shared.borrow_mut())).ok()
}

/// The thread's decompressor, for one message after the other, each of which has arrived completely. In the middle of a message
/// it belongs to the connection, so that others may come between: they find another one.
#[derive(Default)]
pub(super) struct SharedInflater {
    /// What the message that has been begun is decompressed with.
    begun: Option<Box<Inflater>>,
    work: usize,
}

impl Codec for SharedInflater {
    fn decompress(&mut self, input: &[u8], output: &mut [u8], last: bool) -> Result<Progress, CodecError> {
        if self.begun.is_none() && last {
            let small = |shared: &mut Shared| {
                let small = shared.small.get_or_insert_with(Decoder::new);
                (small.decompress(input, output), small.take_work())
            };
            let (produced, work) = with_shared(small).unwrap_or_default();
            self.work += work;
            if let Some(produced) = produced {
                return Ok(Progress { consumed: input.len(), produced, done: true });
            }
        }
        let mut inflater = match self.begun.take() {
            Some(inflater) => inflater,
            None => with_shared(|shared| shared.any.take()).flatten().unwrap_or_else(Inflater::boxed),
        };
        let progress = inflater.decompress(input, output, last)?;
        self.work += inflater.take_work();
        if last && progress.done {
            let _ = with_shared(|shared| shared.any = Some(inflater));
        } else {
            self.begun = Some(inflater);
        }
        Ok(progress)
    }

    fn collects(&self) -> bool {
        true
    }
}

impl Weighed for SharedInflater {
    fn take_work(&mut self) -> usize {
        std::mem::take(&mut self.work)
    }
}

#[cfg(test)]
mod tests {
    use testkit::deflate::Messages;
    use testkit::random::Rng;
    use wirelet_proto::{Compressor, Flush};

    use super::super::deflater::Deflater;
    use super::*;

    /// All that comes out of `input`, given and taken in pieces.
    fn inflated(
        codec: &mut impl Codec,
        mut input: &[u8],
        most: usize,
        room: usize,
    ) -> Result<Vec<u8>, CodecError> {
        let (mut all, mut output) = (Vec::new(), vec![0; room]);
        loop {
            let piece = &input[..input.len().min(most)];
            let last = piece.len() == input.len();
            let progress = codec.decompress(piece, &mut output, last)?;
            assert!(progress.consumed > 0 || progress.produced > 0 || progress.done);
            all.extend_from_slice(&output[..progress.produced]);
            input = &input[progress.consumed..];
            if progress.done && last {
                return Ok(all);
            }
        }
    }

    fn every_split(input: &[u8], check: impl Fn(Result<Vec<u8>, CodecError>)) {
        for most in [1, 2, 3, 100] {
            for room in [1, 2, 3, 5, 7, 100] {
                check(inflated(&mut Inflater::new(false), input, most, room));
                check(inflated(&mut SharedInflater::default(), input, usize::MAX, room));
            }
        }
    }

    #[test]
    fn the_examples_of_the_rfc() {
        for message in [
            // RFC 7692 7.2.3.1, 7.2.3.3, 7.2.3.4, 7.2.3.5.
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        ] {
            every_split(message, |out| assert_eq!(out.unwrap(), b"Hello"));
        }
        // RFC 7692 7.2.3.6.
        every_split(&[0], |out| assert_eq!(out.unwrap(), b""));
    }

    #[test]
    fn a_context_is_kept_or_not() {
        // RFC 7692 7.2.3.2: the second message refers to the first one.
        let first = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let second = [0xf2, 0x00, 0x11, 0x00, 0x00];
        for room in [1, 2, 5, 100] {
            let mut kept = Inflater::new(true);
            assert_eq!(inflated(&mut kept, &first, 3, room).unwrap(), b"Hello");
            assert_eq!(inflated(&mut kept, &second, 3, room).unwrap(), b"Hello");
            let mut fresh = Inflater::new(false);
            assert_eq!(inflated(&mut fresh, &first, 3, room).unwrap(), b"Hello");
            assert_eq!(inflated(&mut fresh, &second, 3, room), Err(CodecError));
        }
    }

    #[test]
    fn what_is_not_complete_or_not_deflated_is_corrupt() {
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        for message in [
            &hello[..3],
            &hello[..5],
            &hello[..6],
            // A reserved type of block.
            &[0x07],
            // The lengths of a stored block that contradict each other.
            &[0x00, 0x05, 0x00, 0xfa, 0xfe, 0x48],
            // A stored block that is cut off.
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48],
            // A distance beyond the beginning.
            &[0xf2, 0x00, 0x11, 0x00, 0x00],
            // Garbage behind the last block.
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xff],
            // The end of the message twice, and a byte of it more.
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff],
            // In the middle of a block without compression, with the same byte last.
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x00, 0x05, 0x00, 0xfa, 0xff],
            // The end of the message but for its last byte.
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00, 0xff],
        ] {
            every_split(message, |out| assert_eq!(out, Err(CodecError), "{message:x?}"));
        }
    }

    /// What ends between two blocks was corrupt here and delivered by the other driver.
    #[test]
    fn a_message_that_ends_between_two_blocks_was_corrupt() {
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let whole = [&hello[..], &[0x00, 0x00, 0xff, 0xff]].concat();
        let stored =
            [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00, 0x00, 0x00, 0xff, 0xff];
        for message in [&last[..], &whole, &stored, &[&whole[..], &[0x00]].concat()] {
            every_split(message, |out| assert_eq!(out.unwrap(), b"Hello", "{message:x?}"));
        }
        every_split(&[], |out| assert_eq!(out.unwrap(), b""));
        every_split(&last.repeat(3), |out| assert_eq!(out.unwrap(), b"HelloHelloHello"));
        // The next message begins with a block, and with what is known where that is kept.
        let again = [0xf2, 0x00, 0x11, 0x00, 0x00];
        for room in [1, 2, 5, 100] {
            for ends in [&hello[..], &whole, &[]] {
                let mut kept = Inflater::new(true);
                assert_eq!(inflated(&mut kept, &hello, 3, room).unwrap(), b"Hello");
                let out = inflated(&mut kept, ends, 3, room).unwrap();
                assert_eq!(out, if ends.is_empty() { &b""[..] } else { b"Hello" });
                assert_eq!(inflated(&mut kept, &again, 3, room).unwrap(), b"Hello");
            }
            // Who has ended a stream begins anew.
            let mut kept = Inflater::new(true);
            assert_eq!(inflated(&mut kept, &last, 3, room).unwrap(), b"Hello");
            assert_eq!(inflated(&mut kept, &hello, 3, room).unwrap(), b"Hello");
            assert_eq!(inflated(&mut kept, &again, 3, room).unwrap(), b"Hello");
        }
    }

    #[test]
    fn a_message_that_fails_leaves_nothing_to_the_next_one() {
        let mut failing = SharedInflater::default();
        assert!(failing.decompress(&[0xf2, 0x48, 0xcd, 0x07], &mut [0; 2], true).is_ok());
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(inflated(&mut SharedInflater::default(), &hello, 100, 100).unwrap(), b"Hello");
    }

    /// What zlib-rs makes of a message when nobody asks it to stop at blocks.
    fn unweighed(message: &[u8], room: usize) -> Result<Vec<u8>, CodecError> {
        let mut inflater = Inflater::new(false);
        let mut output = vec![0; room];
        let (mut consumed, mut produced) = (0, 0);
        while consumed < message.len() {
            let (some, more, ended) =
                inflater.run(&message[consumed..], &mut output[produced..], InflateFlush::NoFlush)?;
            consumed += some;
            produced += more;
            if some > 0 && !ended {
                inflater.last = message[..consumed].last().copied();
            }
            assert!(produced < room);
            if some == 0 && more == 0 && !ended {
                return Err(CodecError);
            }
        }
        inflater.end(&mut output[produced..]).map(|()| output[..produced].to_vec())
    }

    #[test]
    fn to_stop_at_blocks_changes_nothing() {
        let mut rng = Rng::new(3);
        let mut messages = Messages::new(3);
        let mut well = 0;
        for round in 0..3000 {
            let mut wire = Vec::new();
            for _ in 0..1 + rng.below(6) {
                match rng.below(5) {
                    0 => wire.extend([0, 0, 0, 0xff, 0xff]),
                    1 => wire.extend([3, 0]),
                    2 => wire.extend([0, 3, 0, 0xfc, 0xff, 1, 2, 3]),
                    // A last block that is stored.
                    3 => wire.extend([1, 1, 0, 0xfe, 0xff, 1]),
                    _ => {
                        let data = messages.message();
                        let mut out = vec![0; 2 * data.len() + 100];
                        let level = rng.below(10) as u8;
                        let progress = Deflater::new(15, level, 8).compress(&data, &mut out, Flush::Fragment);
                        wire.extend(&out[..progress.produced]);
                    }
                }
            }
            wire.push(0);
            if rng.one_in(3) {
                let at = rng.below(wire.len());
                wire[at] ^= 1 << rng.below(8);
            }
            let expected = unweighed(&wire, 1 << 20);
            well += usize::from(expected.is_ok());
            let (most, room) = (1 + rng.below(3000), 1 + rng.below(5000));
            assert_eq!(inflated(&mut Inflater::new(false), &wire, most, room), expected, "round {round}");
        }
        assert!((1500..2900).contains(&well), "{well}");
    }

    #[test]
    fn a_million_empty_blocks_and_streams_are_nothing() {
        for piece in [&[0x00, 0x00, 0x00, 0xff, 0xff][..], &[0x03, 0x00], &[0x01, 0x00, 0x00, 0xff, 0xff]] {
            let message = [&piece.repeat(1_000_000 / piece.len())[..], &[0]].concat();
            let mut output = [0; 4096];
            let progress = Inflater::new(false).decompress(&message, &mut output, true).unwrap();
            assert_eq!(progress, Progress { consumed: message.len(), produced: 0, done: true });
        }
    }
}
