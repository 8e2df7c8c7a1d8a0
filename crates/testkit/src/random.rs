//! Seeded randomness: the same seed, the same run.

use crate::wire::{Frame, LengthForm};
use wirelet_proto::{MaskKeys, Role};

/// A generator of numbers (SplitMix64), for tests alone.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// Starts from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not zero.
    pub const fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// True once in `n` times.
    pub const fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// Text of exactly `len` bytes, with characters of one to four bytes.
    pub fn text(&mut self, len: usize) -> String {
        let mut text = String::new();
        while text.len() < len {
            let character = ['a', 'é', '日', '😀'][self.below(4)];
            text.push(if text.len() + character.len_utf8() > len { 'z' } else { character });
        }
        text
    }
}

/// A source of masking keys that counts its draws.
#[derive(Clone, Debug)]
pub struct Keys {
    rng: Rng,
    /// How many keys were drawn.
    pub drawn: u64,
    /// The last key.
    pub last: [u8; 4],
}

impl Keys {
    /// Starts from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), drawn: 0, last: [0; 4] }
    }
}

impl MaskKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        self.drawn += 1;
        self.last = (self.rng.next() as u32).to_be_bytes();
        self.last
    }
}

/// A random stream as `role` might send it: mostly legal, with all kinds of mistakes, often cut off.
pub fn stream(rng: &mut Rng, role: Role) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut in_message = false;
    for _ in 0..=rng.below(12) {
        let mut frame = if rng.one_in(3) { control(rng) } else { data(rng, &mut in_message) };
        frame = frame.from(role);
        if rng.one_in(40) {
            frame = mistake(rng, frame);
        }
        wire.extend(frame.bytes());
    }
    if rng.one_in(40) && !wire.is_empty() {
        let at = rng.below(wire.len());
        wire[at] = rng.next() as u8;
    }
    if rng.one_in(4) {
        wire.truncate(rng.below(wire.len() + 1));
    }
    wire
}

fn control(rng: &mut Rng) -> Frame {
    let len = [0, 1, 125, rng.below(126)][rng.below(4)];
    match rng.below(12) {
        0 => Frame::close_empty(),
        1 => Frame::close(
            [1000, 1001, 3000, 4999, 1005, 999, 5000, 1016][rng.below(8)],
            rng.text(len.min(123)),
        ),
        2..=6 => Frame::ping(rng.bytes(len)),
        _ => Frame::pong(rng.bytes(len)),
    }
}

fn data(rng: &mut Rng, in_message: &mut bool) -> Frame {
    let len = [0, 1, 125, 126, rng.below(300), rng.below(2000)][rng.below(6)];
    let fin = rng.one_in(2);
    let continues = core::mem::replace(in_message, !fin);
    // A continuation of what may be binary: bytes; of what may be text: text, cut anywhere.
    let payload = if rng.one_in(4) { rng.bytes(len) } else { rng.text(len).into_bytes() };
    let frame = match (continues, rng.one_in(2)) {
        (true, _) => Frame::continuation(payload),
        (false, true) => Frame::text(rng.text(len)),
        (false, false) => Frame::binary(payload),
    };
    if fin { frame } else { frame.fragment() }
}

fn mistake(rng: &mut Rng, frame: Frame) -> Frame {
    match rng.below(7) {
        0 => frame.rsv(1 + rng.below(7) as u8),
        1 => Frame::new(rng.below(16) as u8, rng.bytes(5)).masked([1, 2, 3, 4]),
        2 => Frame::new(rng.below(16) as u8, rng.bytes(5)),
        3 => frame.length_form(LengthForm::Bits16),
        4 => frame.length_form(LengthForm::Bits64),
        5 => frame.announcing(rng.next() >> rng.below(64)),
        _ => frame.fragment(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_stream() {
        let make = |seed| stream(&mut Rng::new(seed), Role::Client);
        assert_eq!(make(5), make(5));
        assert_ne!(make(5), make(6));
        assert_eq!(Rng::new(1).text(77).len(), 77);
    }
}
