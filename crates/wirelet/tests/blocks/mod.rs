//! DEFLATE streams (RFC 1951) that cost a decompressor the most for each of their bytes, or make the most of them.

#![allow(dead_code, unreachable_pub)]

/// Makes a compressed message; its parameter is a length.
pub type Make = fn(usize) -> Vec<u8>;

/// Messages of about so many bytes that make nothing.
pub const WORST: [(&str, Make); 4] = [
    ("empty dynamic blocks", empty_dynamic),
    ("heavy dynamic blocks", heavy_dynamic),
    ("empty final streams", empty_final),
    ("empty stored blocks", empty_stored),
];

/// The order in which the lengths of the code length code stand (RFC 1951 3.2.7).
const ORDER: [u32; 18] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1];

/// Bits, the lowest first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u64, count: u32) {
        self.held |= value << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    /// The header of a stored block without its length, which is how a message ends (RFC 7692 7.2.1).
    fn end(mut self) -> Vec<u8> {
        self.put(0, 3);
        if self.count > 0 {
            self.put(0, 8 - self.count);
        }
        self.bytes
    }
}

/// Blocks with codes of their own, the smallest there are, and nothing in them.
pub fn empty_dynamic(len: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    while bits.bytes.len() < len {
        // Not final, dynamic; 257 + 1 codes, 18 lengths of the code length code.
        bits.put(0b100, 3);
        bits.put(0, 5);
        bits.put(0, 5);
        bits.put(14, 4);
        for symbol in ORDER {
            bits.put(u64::from(symbol == 18 || symbol == 1), 3);
        }
        // 1 is 0, and 18 is 1: 256 zeros, and one code of each kind.
        for zeros in [138, 118] {
            bits.put(1, 1);
            bits.put(zeros - 11, 7);
        }
        bits.put(0, 1);
        bits.put(0, 1);
        // The end of the block.
        bits.put(0, 1);
    }
    bits.end()
}

/// The same with all codes in use: 254 of 8 bits and 4 of 9 bits.
pub fn heavy_dynamic(len: usize) -> Vec<u8> {
    // The code length code: 1, 8, 9 and 16 in two bits each, reversed.
    let code = |symbol: u32| match symbol {
        1 => 0b00,
        8 => 0b10,
        9 => 0b01,
        _ => 0b11,
    };
    let mut bits = Bits::default();
    while bits.bytes.len() < len {
        bits.put(0b100, 3);
        bits.put(1, 5);
        bits.put(0, 5);
        bits.put(14, 4);
        for symbol in ORDER {
            bits.put(if [16, 8, 9, 1].contains(&symbol) { 2 } else { 0 }, 3);
        }
        bits.put(code(8), 2);
        let mut left = 253_u64;
        while left > 0 {
            let repeated = match left {
                7 => 4,
                8 => 5,
                left => left.min(6),
            };
            bits.put(code(16), 2);
            bits.put(repeated - 3, 2);
            left -= repeated;
        }
        for _ in 0..4 {
            bits.put(code(9), 2);
        }
        bits.put(code(1), 2);
        // 256 is the third code of 9 bits: 510, reversed.
        bits.put(u64::from(510_u16.reverse_bits() >> 7), 9);
    }
    bits.end()
}

/// Streams that end at once, one after the other.
pub fn empty_final(len: usize) -> Vec<u8> {
    let mut bytes = [3, 0].repeat(len / 2);
    bytes.push(0);
    bytes
}

/// Blocks as they are, of no byte.
pub fn empty_stored(len: usize) -> Vec<u8> {
    let mut bytes = [0, 0, 0, 0xff, 0xff].repeat(len / 5);
    bytes.push(0);
    bytes
}

/// `len` zeros, a thousand times smaller.
pub fn bomb(len: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    // One block with the fixed codes (RFC 1951 3.2.6): a zero, and copies of 258 bytes from one byte before.
    bits.put(0b010, 3);
    bits.put(0b0000_1100, 8);
    let mut made = 1;
    while made + 258 <= len {
        bits.put(0b1010_0011, 8);
        bits.put(0, 5);
        made += 258;
    }
    for _ in made..len {
        bits.put(0b0000_1100, 8);
    }
    bits.put(0, 7);
    bits.end()
}
