//! What the blocks of a compressed message (RFC 1951 3.2.3) cost a decompressor that shows only bytes.
//!
//! A dynamic block describes its codes, which costs up to 80 ns for each byte of the description; a stored block costs 3 ns for each
//! byte. Where blocks end is known as long as they end with a byte: stored ones do. Behind any other block it is not, and
//! zlib-rs is asked to stop at its end, so that each call has one description at most.

use zlib_rs::InflateFlush;

/// What a byte of a description costs, in bytes that come out.
const PER_BYTE: usize = 32;
/// What the longest description costs, in bytes that come out.
const DESCRIPTION: usize = 2048;
/// The bits that say what kind of block begins, of which the lowest says that it is the last one (RFC 1951 3.2.3).
const KIND: u8 = 0b111;
const STORED: u8 = 0b000;
/// The bytes of a stored block's length and of its complement (RFC 1951 3.2.4).
const LENGTHS: u8 = 4;

/// Where in its blocks a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Blocks {
    /// A block begins with the next byte.
    #[default]
    Begins,
    /// In the lengths of a stored block, of which so many bytes have been seen.
    Lengths { seen: u8, len: u16 },
    /// In a stored block, so many bytes before its end.
    Stored { left: u16 },
    /// In the last block of a stream: the decompressor stops at its end by itself.
    Last,
    /// In a block with Huffman codes, or in any one behind it.
    Coded,
}

/// What is to be given to the decompressor in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Bytes.
    pub(super) len: usize,
    pub(super) flush: InflateFlush,
    /// All of it belongs to stored blocks.
    stored: bool,
}

impl Blocks {
    /// How far the decompressor may go in one call, with `input` and with `room` bytes for what comes out.
    pub(super) fn step(&mut self, input: &[u8], room: usize) -> Step {
        let len = self.follow(input, room);
        if len > 0 || input.is_empty() {
            return Step { len, flush: InflateFlush::NoFlush, stored: true };
        }
        let flush = if *self == Self::Last { InflateFlush::NoFlush } else { InflateFlush::Block };
        Step { len: input.len(), flush, stored: false }
    }

    /// What a call has cost, in bytes that come out. `ended`: a stream has, and what follows begins with a byte.
    pub(super) fn weigh(&mut self, step: Step, consumed: usize, produced: usize, ended: bool) -> usize {
        if ended {
            *self = Self::Begins;
        } else if step.stored && consumed < step.len {
            *self = Self::Coded;
        }
        if step.stored { consumed } else { produced + (PER_BYTE * consumed).min(DESCRIPTION) }
    }

    /// Goes on behind the stored blocks at the front of `input`, as far as they have `room`; answers how many bytes that is.
    fn follow(&mut self, input: &[u8], mut room: usize) -> usize {
        let mut at = 0;
        loop {
            if *self == Self::Begins {
                at += whole_blocks(&input[at..], &mut room);
            }
            let Some(byte) = input.get(at) else { return at };
            match self {
                Self::Begins if byte & KIND == STORED => *self = Self::Lengths { seen: 0, len: 0 },
                Self::Begins => {
                    *self = if byte & 1 == 1 { Self::Last } else { Self::Coded };
                    return at;
                }
                Self::Lengths { seen, len } => {
                    if *seen < 2 {
                        *len |= u16::from(*byte) << (8 * *seen);
                    }
                    *seen += 1;
                    if *seen == LENGTHS {
                        *self = if *len > 0 { Self::Stored { left: *len } } else { Self::Begins };
                    }
                }
                Self::Stored { left } => {
                    let some = usize::from(*left).min(input.len() - at).min(room);
                    if some == 0 {
                        return at;
                    }
                    *left -= some as u16;
                    if *left == 0 {
                        *self = Self::Begins;
                    }
                    room -= some;
                    at += some - 1;
                }
                Self::Last | Self::Coded => return at,
            }
            at += 1;
        }
    }
}

/// The stored blocks at the front of `input` that are there as a whole and have room, bytes.
fn whole_blocks(input: &[u8], room: &mut usize) -> usize {
    let mut rest = input;
    while let [first, low, high, _, _, behind @ ..] = rest
        && first & KIND == STORED
    {
        let len = usize::from(u16::from_le_bytes([*low, *high]));
        let Some(next) = behind.get(len..).filter(|_| len <= *room) else { break };
        *room -= len;
        rest = next;
    }
    input.len() - rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: [u8; 5] = [0, 0, 0, 0xff, 0xff];

    /// What `input` costs, given in pieces.
    fn followed(input: &[u8], piece: usize) -> (Blocks, usize) {
        let mut blocks = Blocks::default();
        let mut all = 0;
        for piece in input.chunks(piece) {
            let step = blocks.step(piece, 100);
            all += blocks.weigh(step, step.len, 0, false);
        }
        (blocks, all)
    }

    #[test]
    fn stored_blocks_are_followed_in_any_pieces() {
        let one = [&[0, 3, 0, 0xfc, 0xff][..], b"abc", &EMPTY, &[0, 1, 0, 0xfe, 0xff, 9]].concat();
        for piece in 1..one.len() {
            assert_eq!(followed(&one.repeat(10), piece), (Blocks::Begins, 10 * one.len()));
        }
        assert_eq!(followed(&one[..7], 3), (Blocks::Stored { left: 1 }, 7));
        assert_eq!(followed(&one[..10], 10), (Blocks::Lengths { seen: 1, len: 0 }, 10));
    }

    #[test]
    fn any_other_block_costs_what_a_description_costs() {
        let input = [&EMPTY[..], &[0b100, 1, 2, 3]].concat();
        let mut blocks = Blocks::default();
        let step = blocks.step(&input, 10);
        assert_eq!((step.len, step.flush), (5, InflateFlush::NoFlush));
        assert_eq!(blocks.weigh(step, 5, 0, false), 5);
        let step = blocks.step(&input[5..], 10);
        assert_eq!((step.len, step.flush, blocks), (4, InflateFlush::Block, Blocks::Coded));
        assert_eq!(blocks.weigh(step, 4, 7, false), 7 + 4 * PER_BYTE);
        // Where the next one begins is not known: it may have any kind.
        let step = blocks.step(&EMPTY, 10);
        assert_eq!((step.len, step.flush), (5, InflateFlush::Block));
        assert_eq!(blocks.weigh(step, 1000, 7, false), 7 + DESCRIPTION);
    }

    #[test]
    fn behind_the_end_of_a_stream_it_is_known_again() {
        let mut blocks = Blocks::default();
        let step = blocks.step(&[3, 0, 0], 10);
        assert_eq!((step.len, step.flush, blocks), (3, InflateFlush::NoFlush, Blocks::Last));
        assert_eq!(blocks.weigh(step, 2, 0, true), 2 * PER_BYTE);
        assert_eq!(blocks, Blocks::Begins);
    }

    #[test]
    fn without_room_a_stored_block_waits() {
        let input = [0, 3, 0, 0xfc, 0xff, 1, 2, 3];
        let mut blocks = Blocks::default();
        let step = blocks.step(&input, 2);
        assert_eq!((step.len, blocks), (7, Blocks::Stored { left: 1 }));
    }
}
