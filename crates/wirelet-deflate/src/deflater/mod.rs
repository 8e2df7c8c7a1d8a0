//! The encoder: small, in the caller's memory.
//!
//! Input comes into a ring and becomes tokens there: literals, and matches that hash chains find ([`matches`]). The tokens
//! wait in a log ([`tokens`]) until it is full or the fragment ends. Then the block leaves in the shortest of its three kinds
//! ([`block`]), with codes that are built in place ([`huffman`]), bit by bit as there is room for it ([`bits`]).

mod bits;
mod block;
mod huffman;
mod matches;
mod memory;
mod tokens;

use self::bits::Bits;
use self::block::{Block, Source};
use self::matches::{Cursor, LONGEST, Match, SHORTEST};
use self::memory::Memory;
use self::tokens::{Token, Tokens};
use wirelet_proto::deflate::Window;
use wirelet_proto::{Compressor, Flush, Progress};

/// A match this long is taken without a look whether a longer one begins a byte later.
const LONG_ENOUGH: u16 = 32;

/// Compresses messages in memory of the caller: `[u8; N]`, `&mut [u8]`, a box.
///
/// ```
/// use wirelet_deflate::Deflater;
/// use wirelet_proto::deflate::Window;
/// use wirelet_proto::{Compressor, Flush};
///
/// const MEMORY: usize = Deflater::memory(9);
/// let mut deflater = Deflater::new([0; MEMORY], Window::kept(9)).unwrap();
/// let mut room = [0; 64];
/// let progress = deflater.compress(b"Hello", &mut room, Flush::Message);
/// assert!(progress.done);
/// // RFC 7692 7.2.3.1.
/// assert_eq!(&room[..progress.produced], [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
/// ```
///
/// # Memory
///
/// The memory holds the window, as much again of input, the hash chains, and a block with its codes. It is the same with
/// context takeover and without. The value itself has 96 bytes besides, and nothing else is used but a few hundred
/// bytes of stack. `ratio` is that of the telemetry of this crate's tests, messages of 200 to 3,072 bytes of JSON with
/// context takeover:
///
/// | window bits | memory, bytes | ratio | zlib-rs, level 6 | least memory, bytes | ratio |
/// |---|---|---|---|---|---|
/// | 8 | 2,554 | 2.86 | (knows no 8) | 2,298 | 2.28 |
/// | 9 | 3,954 | 3.63 | 3.07 | 3,578 | 2.84 |
/// | 10 | 6,002 | 4.01 | 3.99 | 5,626 | 3.20 |
/// | 11 | 11,194 | 4.56 | 4.53 | 10,234 | 3.58 |
/// | 12 | 21,434 | 5.19 | 5.14 | 19,450 | 4.03 |
///
/// (`cargo test --release -p wirelet-deflate --test ratio -- --nocapture --test-threads 1`)
///
/// How to choose: what a device sends again and again should fit the window, that is at least one message; 9 or 10 bits for
/// messages of a few hundred bytes. Save a window before memory within one: with the least memory blocks are so short
/// that codes of their own don't pay.
///
/// In flash it takes 8.5 KB on riscv32imc (`python3 bench/footprint/run.py`), without the decompressor.
///
/// Bytes that cannot be compressed are stored: five more for each 256 of them or fewer, with the memory above.
#[derive(Clone, Debug)]
pub struct Deflater<M> {
    memory: M,
    state: State,
}

/// What the encoder keeps besides its memory.
#[derive(Clone, Debug)]
struct State {
    window_bits: u8,
    takeover: bool,
    cursor: Cursor,
    /// The match at the cursor, when it has been looked for already.
    found: Option<Match>,
    tokens: Tokens,
    /// Bytes that the tokens stand for.
    span: u32,
    /// Bits that the tokens take with the fixed code.
    fixed_cost: u32,
    stage: Stage,
    bits: Bits,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Input becomes tokens.
    Gather,
    /// The tokens leave.
    Block(Block),
    /// The end of a flush leaves.
    Flush,
}

/// Why gathering ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gathered {
    /// More input is needed, or there is none.
    All,
    /// The block can take no more.
    BlockFull,
}

impl Deflater<()> {
    /// Bytes of memory that a window of 2^`window_bits` bytes should have, 8–12 bits.
    ///
    /// With less, down to [`least_memory`](Self::least_memory), blocks are shorter and their codes fit less well.
    pub const fn memory(window_bits: u8) -> usize {
        memory::memory(window_bits)
    }

    /// Bytes of memory without which a window of 2^`window_bits` bytes does not work, 8–12 bits.
    pub const fn least_memory(window_bits: u8) -> usize {
        memory::least_memory(window_bits)
    }
}

impl<M: AsMut<[u8]>> Deflater<M> {
    /// An encoder that compresses as `agreed`: see [`Params::outgoing`](wirelet_proto::deflate::Params::outgoing).
    ///
    /// Its window is the largest that `memory` is enough for and that is not larger than agreed; a receiver takes any
    /// that is smaller. `None`: the memory is not enough for any.
    pub fn new(mut memory: M, agreed: Window) -> Option<Self> {
        let state = State::new(memory.as_mut().len(), agreed)?;
        Some(Self { memory, state })
    }

    /// Forgets everything, and compresses as `agreed` for the next connection. `false`: the memory is not enough for any
    /// such window, and nothing has changed.
    #[must_use]
    pub fn restart(&mut self, agreed: Window) -> bool {
        let state = State::new(self.memory.as_mut().len(), agreed);
        state.map(|state| self.state = state).is_some()
    }

    /// The window that it compresses with.
    pub const fn window(&self) -> Window {
        Window { bits: self.state.window_bits, takeover: self.state.takeover }
    }
}

impl<M: AsMut<[u8]>> Compressor for Deflater<M> {
    fn compress(&mut self, input: &[u8], output: &mut [u8], flush: Flush) -> Progress {
        let mut memory = Memory::cut(self.memory.as_mut(), self.state.window_bits);
        self.state.compress(&mut memory, input, output, flush)
    }
}

impl State {
    /// The state of an encoder that has seen nothing, in so many bytes of memory.
    fn new(memory: usize, agreed: Window) -> Option<Self> {
        let fits = |bits: &u8| *bits <= agreed.bits && memory::least_memory(*bits) <= memory;
        let window_bits = memory::WINDOW_BITS.rev().find(fits)?;
        Some(Self {
            window_bits,
            takeover: agreed.takeover,
            cursor: Cursor::new(window_bits),
            found: None,
            tokens: Tokens::new(window_bits),
            span: 0,
            fixed_cost: 0,
            stage: Stage::Gather,
            bits: Bits::default(),
        })
    }

    fn compress(
        &mut self,
        memory: &mut Memory<'_>,
        input: &[u8],
        output: &mut [u8],
        flush: Flush,
    ) -> Progress {
        let (mut consumed, mut produced) = (0usize, 0usize);
        loop {
            if !self.bits.drain(output, &mut produced) {
                return Progress { consumed, produced, done: false };
            }
            match &mut self.stage {
                Stage::Block(block) => {
                    if !block.step(memory, &self.tokens, &mut self.bits) {
                        self.end_block();
                    }
                }
                Stage::Flush => {
                    self.stage = Stage::Gather;
                    if flush == Flush::Message && !self.takeover {
                        self.cursor.forget();
                    }
                    return Progress { consumed, produced, done: true };
                }
                Stage::Gather => {
                    let rest = input.get(consumed..).unwrap_or_default();
                    let taken = self.cursor.take_in(memory, rest);
                    consumed = consumed.wrapping_add(taken);
                    let all_in = taken == rest.len();
                    let ends = all_in && flush != Flush::None;
                    if self.gather(memory, ends) == Gathered::BlockFull || (ends && !self.tokens.is_empty()) {
                        self.begin_block(memory);
                    } else if ends {
                        self.end(flush);
                    } else if all_in {
                        return Progress { consumed, produced, done: true };
                    }
                }
            }
        }
    }

    /// Turns what has come in into tokens. Looks for matches only where the longest could be seen, or everything
    /// up to a flush has come in.
    fn gather(&mut self, memory: &mut Memory<'_>, ends: bool) -> Gathered {
        let enough = self.cursor.window().min(LONGEST.wrapping_add(SHORTEST).wrapping_add(1));
        let least = if ends { 1 } else { enough };
        while self.cursor.ahead() >= least {
            if !self.tokens.has_room(&memory.log) {
                return Gathered::BlockFull;
            }
            let (token, found) = self.next_token(memory);
            if self.is_better_ended(token) {
                return Gathered::BlockFull;
            }
            self.tokens.push(&mut memory.log, token);
            self.cursor.advance(token.len());
            self.found = found;
            self.span = self.span.wrapping_add(token.len().into());
            self.fixed_cost = self.fixed_cost.wrapping_add(token.fixed_cost());
        }
        Gathered::All
    }

    /// The next token, and the match behind it, when it was looked for.
    fn next_token(&mut self, memory: &mut Memory<'_>) -> (Token, Option<Match>) {
        let here = self.found.unwrap_or_else(|| self.cursor.find(memory, 0, 0));
        if here.len == 0 {
            return (self.literal(memory), None);
        }
        if here.len < LONG_ENOUGH {
            let later = self.cursor.find(memory, 1, here.len);
            if later.len > here.len {
                return (self.literal(memory), Some(later));
            }
        }
        (Token::Match(here), None)
    }

    fn literal(&self, memory: &Memory<'_>) -> Token {
        Token::Literal(memory.ring.byte(self.cursor.position()))
    }

    /// Whether the block has to end before `token`, lest it become longer than its bytes.
    ///
    /// As long as the bytes are in the ring, they can be stored; later, only what was saved can be spent.
    fn is_better_ended(&self, token: Token) -> bool {
        let window = u32::from(self.cursor.window());
        let span = self.span.wrapping_add(token.len().into());
        if span <= window || self.span == 0 {
            return false;
        }
        let spent = if self.span <= window { 0 } else { token.fixed_cost() };
        let bytes = if self.span <= window { self.span } else { span };
        self.fixed_cost.wrapping_add(spent) >= bytes.wrapping_mul(8)
    }

    fn begin_block(&mut self, memory: &mut Memory<'_>) {
        let source = Source {
            len: self.span,
            end: self.cursor.position(),
            kept: self.span <= self.cursor.window().into(),
            fixed_cost: self.fixed_cost,
        };
        self.stage = Stage::Block(Block::begin(memory, &self.tokens, &mut self.bits, source));
    }

    fn end_block(&mut self) {
        self.tokens.clear();
        self.span = 0;
        self.fixed_cost = 0;
        self.stage = Stage::Gather;
    }

    /// RFC 7692 7.2.1: an empty stored block; of the one that ends a message, the last four bytes are left out.
    fn end(&mut self, flush: Flush) {
        self.bits.push(0b000, 3);
        self.bits.align();
        if flush == Flush::Fragment {
            self.bits.push(0, 16);
            self.bits.push(0xffff, 16);
        }
        self.stage = Stage::Flush;
    }
}
