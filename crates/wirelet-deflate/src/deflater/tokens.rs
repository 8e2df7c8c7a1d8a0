//! Tokens: literals and matches, as the block's log keeps them and as they are sent.

use super::matches::{Match, SHORTEST};
use super::memory::{Log, Table};
use crate::alphabet::{END, FIXED_DISTANCE, FIXED_LITERALS, Symbol, fixed_length};

/// What a block consists of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token {
    Literal(u8),
    Match(Match),
}

impl Token {
    /// Bytes that it stands for.
    pub(super) fn len(self) -> u16 {
        match self {
            Self::Literal(_) => 1,
            Self::Match(found) => found.len,
        }
    }

    /// The symbol of a literal or a length.
    pub(super) fn first(self) -> Symbol {
        match self {
            Self::Literal(byte) => Symbol { index: byte.into(), extra_bits: 0, extra: 0 },
            Self::Match(found) => length_symbol(found.len),
        }
    }

    /// The symbol of a distance.
    pub(super) fn second(self) -> Option<Symbol> {
        match self {
            Self::Literal(_) => None,
            Self::Match(found) => Some(distance_symbol(found.distance)),
        }
    }

    /// Bits that it takes with the fixed code (RFC 1951 3.2.6).
    pub(super) fn fixed_cost(self) -> u32 {
        let symbols = [Some(self.first()), self.second()];
        let bits = |symbol: Symbol| u32::from(symbol.extra_bits);
        let codes = match symbols {
            [Some(first), None] => fixed_length(first.index).into(),
            [Some(first), Some(_)] => {
                u32::from(fixed_length(first.index)).wrapping_add(FIXED_DISTANCE.into())
            }
            _ => 0,
        };
        symbols.into_iter().flatten().map(bits).sum::<u32>().wrapping_add(codes)
    }
}

/// Out of line, as [`distance_symbol`]: inlined where they are used, they would take another KiB of flash.
#[inline(never)]
fn length_symbol(length: u16) -> Symbol {
    Symbol::of_length(length)
}

#[inline(never)]
fn distance_symbol(distance: u16) -> Symbol {
    Symbol::of_distance(distance)
}

/// The tokens of a block, in its log.
///
/// A literal takes 9 bits, a match 9 and those of a distance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tokens {
    distance_bits: u8,
    /// Bits that are written.
    end: u16,
}

impl Tokens {
    pub(super) const fn new(distance_bits: u8) -> Self {
        Self { distance_bits, end: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.end == 0
    }

    pub(super) fn clear(&mut self) {
        self.end = 0;
    }

    /// Whether there is room for any token.
    pub(super) fn has_room(&self, log: &Log<'_>) -> bool {
        log.capacity().saturating_sub(self.end) >= self.size(true)
    }

    /// One more token. There must be room.
    pub(super) fn push(&mut self, log: &mut Log<'_>, token: Token) {
        let value = match token {
            Token::Literal(byte) => u32::from(byte).wrapping_shl(1),
            Token::Match(found) => {
                let distance = u32::from(found.distance.wrapping_sub(1)).wrapping_shl(9);
                distance | u32::from(found.len.wrapping_sub(SHORTEST)).wrapping_shl(1) | 1
            }
        };
        log.write(self.end, value);
        self.end = self.end.wrapping_add(self.size(value & 1 == 1));
    }

    /// The token at `at`, and where the next one is; the first is at 0.
    pub(super) fn at(&self, log: &Log<'_>, at: u16) -> Option<(Token, u16)> {
        if at >= self.end {
            return None;
        }
        let bits = log.bits(at);
        let byte = bits.wrapping_shr(1) as u8;
        let is_match = bits & 1 == 1;
        let token = if is_match {
            let distance = bits.wrapping_shr(9) & !u32::MAX.wrapping_shl(self.distance_bits.into());
            Token::Match(Match {
                len: u16::from(byte).wrapping_add(SHORTEST),
                distance: (distance as u16).wrapping_add(1),
            })
        } else {
            Token::Literal(byte)
        };
        Some((token, at.wrapping_add(self.size(is_match))))
    }

    /// All of them.
    pub(super) fn iter(&self, log: &Log<'_>) -> impl Iterator<Item = Token> {
        let mut at = 0;
        core::iter::from_fn(move || {
            let (token, next) = self.at(log, at)?;
            at = next;
            Some(token)
        })
    }

    /// Adds how often each literal and length occurs, and the end of the block.
    pub(super) fn count_first(&self, log: &Log<'_>, table: &mut Table<'_>) {
        self.iter(log).for_each(|token| table.add(token.first().index, 1));
        table.add(END, 1);
    }

    /// Adds how often each distance occurs.
    pub(super) fn count_second(&self, log: &Log<'_>, table: &mut Table<'_>) {
        self.iter(log).filter_map(Token::second).for_each(|symbol| table.add(symbol.index, 1));
    }

    /// Bits that the tokens and the end of the block take with codes of these lengths.
    pub(super) fn cost(&self, log: &Log<'_>, lengths: &[u8]) -> u32 {
        let bits = |index: usize| lengths.get(index).copied().map_or(0, u32::from);
        let cost = |token: Token| {
            let first = token.first();
            let extra = u32::from(first.extra_bits);
            let second = token.second().map_or(0, |symbol| {
                bits(symbol.index.wrapping_add(FIXED_LITERALS)).wrapping_add(symbol.extra_bits.into())
            });
            bits(first.index).wrapping_add(extra).wrapping_add(second)
        };
        self.iter(log).map(cost).sum::<u32>().wrapping_add(bits(END))
    }

    fn size(&self, is_match: bool) -> u16 {
        if is_match { u16::from(self.distance_bits).wrapping_add(9) } else { 9 }
    }
}
