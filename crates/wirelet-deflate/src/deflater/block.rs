//! A block (RFC 1951 3.2.3): which of the three kinds is the shortest, and its bits one item after the other.

use super::bits::Bits;
use super::huffman;
use super::memory::Memory;
use super::tokens::{Token, Tokens};
use crate::alphabet::{
    END, FIXED_DISTANCE, FIXED_LITERALS, LONGEST, LONGEST_PRECODE, MANY_ZEROS, PRECODE_ORDER, PRECODES,
    REPEAT, ZEROS, fixed_length, precode_extra_bits,
};

/// Bits with the fixed code below which a block's own codes are not looked for: to send them takes nearly as many, and the search is
/// most of the work on a short block.
const SHORTEST_DYNAMIC: u32 = 400;

/// Codes for literals and distances that are sent: never fewer than these.
const FEWEST_LITERALS: u16 = 257;
const FEWEST_DISTANCES: u16 = 1;
const FEWEST_CODE_LENGTHS: u16 = 4;

/// What has to be sent of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    stage: Stage,
    header: Header,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The length of a code for lengths.
    CodeLength(u16),
    /// A run of lengths.
    Lengths(u16),
    /// A token.
    Token(u16),
    /// Bytes of a stored block.
    Stored {
        position: u16,
        left: u16,
    },
    Done,
}

/// The codes of a dynamic block (RFC 1951 3.2.7).
#[derive(Clone, Copy, Debug, Default)]
struct Header {
    literals: u16,
    distances: u16,
    code_lengths: u16,
    lengths: [u8; PRECODES],
    codes: [u8; PRECODES],
}

/// Codes of one length, or some that are different, as one symbol of the code for lengths.
struct Run {
    symbol: usize,
    extra_bits: u8,
    extra: u16,
    len: u16,
}

impl Run {
    fn of(symbol: u8, extra: u16, len: u16) -> Self {
        Self { symbol: symbol.into(), extra_bits: precode_extra_bits(symbol), extra, len }
    }
}

impl Block {
    /// Decides for the shortest kind and begins it.
    ///
    /// The tokens stand for `span` bytes before `position` and take `fixed` bits with the fixed code; those bytes
    /// are still in the ring if `stored`.
    pub(super) fn begin(memory: &mut Memory<'_>, tokens: &Tokens, bits: &mut Bits, source: Source) -> Self {
        let end = u32::from(fixed_length(END));
        let fixed = source.fixed_cost.wrapping_add(end);
        let (header, dynamic) = if fixed < SHORTEST_DYNAMIC {
            (Header::default(), u32::MAX)
        } else {
            let header = Header::find(memory, tokens);
            let cost = header.cost(memory).wrapping_add(tokens.cost(&memory.log, memory.lengths));
            (header, cost)
        };
        // The padding is not counted: it would be sent behind the other kinds, too.
        let stored = source.len.saturating_mul(8).saturating_add(32);
        let shortest = fixed.min(dynamic);
        if source.kept && stored < shortest {
            return Self::stored(bits, source, header);
        }
        let stage = if fixed <= dynamic {
            bits.push(0b010, 3);
            fixed_lengths(memory.lengths);
            Stage::Token(0)
        } else {
            bits.push(0b100, 3);
            header.push_counts(bits);
            Stage::CodeLength(0)
        };
        let Memory { codes, lengths, .. } = memory;
        let (literals, distances) = lengths.split_at_checked(FIXED_LITERALS).unwrap_or_default();
        huffman::assign_codes(literals, &mut |symbol, code| codes.set(symbol, code));
        huffman::assign_codes(distances, &mut |symbol, code| {
            codes.set(symbol.wrapping_add(FIXED_LITERALS), code)
        });
        Self { stage, header }
    }

    fn stored(bits: &mut Bits, source: Source, header: Header) -> Self {
        let len = source.len as u16;
        bits.push(0b000, 3);
        bits.align();
        bits.push(len.into(), 16);
        bits.push((!len).into(), 16);
        Self { stage: Stage::Stored { position: source.end.wrapping_sub(len), left: len }, header }
    }

    /// Puts out the next item; `false` when there is none. Never more than 48 bits.
    pub(super) fn step(&mut self, memory: &Memory<'_>, tokens: &Tokens, bits: &mut Bits) -> bool {
        self.stage = match self.stage {
            Stage::CodeLength(at) => self.header.push_code_length(at, bits),
            Stage::Lengths(at) => self.header.push_lengths(memory, at, bits),
            Stage::Token(at) => push_token(memory, tokens, at, bits),
            Stage::Stored { left: 0, .. } | Stage::Done => return false,
            Stage::Stored { position, left } => {
                bits.push(memory.ring.byte(position).into(), 8);
                Stage::Stored { position: position.wrapping_add(1), left: left.wrapping_sub(1) }
            }
        };
        true
    }
}

/// Where the bytes of a block come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    /// How many bytes.
    pub(super) len: u32,
    /// The position behind them.
    pub(super) end: u16,
    /// Whether they are still in the ring.
    pub(super) kept: bool,
    /// Bits that they take with the fixed code, without the end of the block.
    pub(super) fixed_cost: u32,
}

fn fixed_lengths(lengths: &mut [u8]) {
    for (symbol, length) in lengths.iter_mut().enumerate() {
        *length = if symbol < FIXED_LITERALS { fixed_length(symbol) } else { FIXED_DISTANCE };
    }
}

fn push_token(memory: &Memory<'_>, tokens: &Tokens, at: u16, bits: &mut Bits) -> Stage {
    let mut push = |index: usize, extra: u16, extra_bits: u8| {
        let length = memory.lengths.get(index).copied().unwrap_or_default();
        bits.push(memory.codes.at(index).into(), length);
        bits.push(extra.into(), extra_bits);
    };
    let Some((token, next)) = tokens.at(&memory.log, at) else {
        push(END, 0, 0);
        return Stage::Done;
    };
    let first = token.first();
    push(first.index, first.extra, first.extra_bits);
    if let Some(second) = Token::second(token) {
        push(second.index.wrapping_add(FIXED_LITERALS), second.extra, second.extra_bits);
    }
    Stage::Token(next)
}

impl Header {
    /// Finds the codes for the tokens; the lengths of those for literals and distances are left in the memory.
    fn find(memory: &mut Memory<'_>, tokens: &Tokens) -> Self {
        let Memory { codes, lengths, log, .. } = memory;
        let (literals, distances) = lengths.split_at_mut_checked(FIXED_LITERALS).unwrap_or_default();
        huffman::find_lengths(literals, LONGEST, codes, &mut |table| tokens.count_first(log, table));
        huffman::find_lengths(distances, LONGEST, codes, &mut |table| tokens.count_second(log, table));
        let mut header = Self {
            literals: sent(literals, FEWEST_LITERALS, |n| n),
            distances: sent(distances, FEWEST_DISTANCES, |n| n),
            code_lengths: 0,
            lengths: [0; PRECODES],
            codes: [0; PRECODES],
        };
        let mut code_lengths = [0; PRECODES];
        huffman::find_lengths(&mut code_lengths, LONGEST_PRECODE, codes, &mut |table| {
            header.runs(lengths, |run| table.add(run.symbol, 1));
        });
        huffman::assign_codes(&code_lengths, &mut |symbol, code| {
            if let Some(slot) = header.codes.get_mut(symbol) {
                *slot = code as u8;
            }
        });
        header.lengths = code_lengths;
        let in_order = |n: usize| PRECODE_ORDER.get(n).copied().map_or(0, usize::from);
        header.code_lengths = sent(&code_lengths, FEWEST_CODE_LENGTHS, in_order);
        header
    }

    /// Bits that it takes.
    fn cost(&self, memory: &Memory<'_>) -> u32 {
        let mut bits = 14u32.wrapping_add(u32::from(self.code_lengths).wrapping_mul(3));
        self.runs(memory.lengths, |run| {
            let code = self.lengths.get(run.symbol).copied().unwrap_or_default();
            bits = bits.wrapping_add(u32::from(code)).wrapping_add(run.extra_bits.into());
        });
        bits
    }

    fn push_counts(&self, bits: &mut Bits) {
        bits.push(self.literals.wrapping_sub(FEWEST_LITERALS).into(), 5);
        bits.push(self.distances.wrapping_sub(FEWEST_DISTANCES).into(), 5);
        bits.push(self.code_lengths.wrapping_sub(FEWEST_CODE_LENGTHS).into(), 4);
    }

    fn push_code_length(&self, at: u16, bits: &mut Bits) -> Stage {
        if at >= self.code_lengths {
            return Stage::Lengths(0);
        }
        let symbol = PRECODE_ORDER.get(usize::from(at)).copied().map_or(0, usize::from);
        bits.push(self.lengths.get(symbol).copied().unwrap_or_default().into(), 3);
        Stage::CodeLength(at.wrapping_add(1))
    }

    fn push_lengths(&self, memory: &Memory<'_>, at: u16, bits: &mut Bits) -> Stage {
        let Some(run) = self.run(memory.lengths, at) else { return Stage::Token(0) };
        let code = self.codes.get(run.symbol).copied().unwrap_or_default();
        bits.push(code.into(), self.lengths.get(run.symbol).copied().unwrap_or_default());
        bits.push(run.extra.into(), run.extra_bits);
        Stage::Lengths(at.wrapping_add(run.len))
    }

    fn runs(&self, lengths: &[u8], mut each: impl FnMut(Run)) {
        let mut at = 0u16;
        while let Some(run) = self.run(lengths, at) {
            at = at.wrapping_add(run.len);
            each(run);
        }
    }

    /// RFC 1951 3.2.7: the run that begins at `at` in the lengths for literals and distances, which are one list.
    fn run(&self, lengths: &[u8], at: u16) -> Option<Run> {
        let length = self.length(lengths, at)?;
        let mut same = 1u16;
        while same < 138 && self.length(lengths, at.wrapping_add(same)) == Some(length) {
            same = same.wrapping_add(1);
        }
        let one = Run::of(length, 0, 1);
        let before = at.checked_sub(1).and_then(|before| self.length(lengths, before));
        Some(match (length, same) {
            (0, 11..) => Run::of(MANY_ZEROS, same.wrapping_sub(11), same),
            (0, 3..) => Run::of(ZEROS, same.wrapping_sub(3), same),
            (1.., 3..) if before == Some(length) => {
                let len = same.min(6);
                Run::of(REPEAT, len.wrapping_sub(3), len)
            }
            _ => one,
        })
    }

    fn length(&self, lengths: &[u8], at: u16) -> Option<u8> {
        let index = match at.checked_sub(self.literals) {
            None => usize::from(at),
            Some(distance) if distance < self.distances => usize::from(distance).wrapping_add(FIXED_LITERALS),
            Some(_) => return None,
        };
        lengths.get(index).copied()
    }
}

/// How many lengths are sent: up to the last that is not zero, as `order` has them.
fn sent(lengths: &[u8], fewest: u16, order: impl Fn(usize) -> usize) -> u16 {
    let used = |n: &usize| lengths.get(order(*n)).is_some_and(|length| *length > 0);
    (0..lengths.len()).rfind(used).map_or(0, |last| (last as u16).wrapping_add(1)).max(fewest)
}
