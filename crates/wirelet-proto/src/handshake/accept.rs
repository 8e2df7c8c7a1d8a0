//! Sec-WebSocket-Key and Sec-WebSocket-Accept: base64 (RFC 4648) and SHA-1 (RFC 3174), small rather than fast: a
//! handshake costs two SHA-1 blocks.

use core::ops::Range;

/// RFC 6455 1.3.
const GUID: &[u8; 36] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The Sec-WebSocket-Accept that belongs to a Sec-WebSocket-Key: base64 of the SHA-1 of the key, as it was sent, and the
/// GUID of RFC 6455 1.3.
pub fn accept_key(key: &[u8]) -> [u8; 28] {
    let mut accept = [0; 28];
    base64(&sha1(key.iter().chain(GUID).copied()), &mut accept);
    accept
}

/// Whether a Sec-WebSocket-Key is what RFC 6455 4.1 asks for: 16 bytes in base64, which are 22 characters and `==`.
/// (The four bits that the 22nd character has too many are not looked at, as RFC 4648 3.5 allows.)
pub fn is_valid_key(key: &[u8]) -> bool {
    let Some(characters) = key.strip_suffix(b"==") else { return false };
    characters.len() == 22 && characters.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/'))
}

/// The Sec-WebSocket-Key for 16 random bytes.
pub(super) fn encode_key(nonce: &[u8; 16]) -> [u8; 24] {
    let mut key = [0; 24];
    base64(nonce, &mut key);
    key
}

/// Fills `out`, which has four bytes for each three begun.
fn base64(bytes: &[u8], out: &mut [u8]) {
    for (group, four) in bytes.chunks(3).zip(out.chunks_mut(4)) {
        let bits = (0..3).fold(0u32, |bits, at| (bits << 8) | u32::from(group.get(at).copied().unwrap_or(0)));
        let sextets = [bits >> 18, bits >> 12, bits >> 6, bits];
        for (at, (character, sextet)) in four.iter_mut().zip(sextets).enumerate() {
            *character = if at > group.len() { b'=' } else { base64_character((sextet & 63) as u8) };
        }
    }
}

const fn base64_character(sextet: u8) -> u8 {
    match sextet {
        0..=25 => b'A'.wrapping_add(sextet),
        26..=51 => b'a'.wrapping_add(sextet.wrapping_sub(26)),
        52..=61 => b'0'.wrapping_add(sextet.wrapping_sub(52)),
        62 => b'+',
        _ => b'/',
    }
}

/// RFC 3174, byte by byte into a schedule of 16 words.
fn sha1(message: impl Iterator<Item = u8>) -> [u8; 20] {
    let mut sha1 = Sha1 {
        state: [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0],
        words: [0; 16],
        at: 0,
    };
    let mut bits = 0u64;
    for byte in message {
        sha1.push(byte);
        bits = bits.wrapping_add(8);
    }
    sha1.push(0x80);
    while sha1.at != 56 {
        sha1.push(0);
    }
    bits.to_be_bytes().into_iter().for_each(|byte| sha1.push(byte));
    let mut digest = [0; 20];
    for (four, word) in digest.chunks_mut(4).zip(sha1.state) {
        four.iter_mut().zip(word.to_be_bytes()).for_each(|(to, from)| *to = from);
    }
    digest
}

struct Sha1 {
    state: [u32; 5],
    words: [u32; 16],
    /// Bytes in `words`, less than 64.
    at: u8,
}

impl Sha1 {
    fn push(&mut self, byte: u8) {
        if let Some(word) = self.words.get_mut(usize::from(self.at >> 2)) {
            *word = (*word << 8) | u32::from(byte);
        }
        self.at = self.at.wrapping_add(1) & 63;
        if self.at == 0 {
            self.block();
        }
    }

    fn block(&mut self) {
        let before = self.state;
        self.rounds(0..20, 0x5a82_7999, |b, c, d| (b & c) | (!b & d));
        self.rounds(20..40, 0x6ed9_eba1, |b, c, d| b ^ c ^ d);
        self.rounds(40..60, 0x8f1b_bcdc, |b, c, d| (b & c) | (b & d) | (c & d));
        self.rounds(60..80, 0xca62_c1d6, |b, c, d| b ^ c ^ d);
        for (state, add) in self.state.iter_mut().zip(before) {
            *state = state.wrapping_add(add);
        }
    }

    fn rounds(&mut self, rounds: Range<usize>, constant: u32, mix: impl Fn(u32, u32, u32) -> u32) {
        let [mut a, mut b, mut c, mut d, mut e] = self.state;
        for round in rounds {
            let word = self.expand(round).wrapping_add(constant);
            let next = a.rotate_left(5).wrapping_add(mix(b, c, d)).wrapping_add(e).wrapping_add(word);
            (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
        }
        self.state = [a, b, c, d, e];
    }

    /// The word of a round; the one 16 rounds back gives its place to it.
    fn expand(&mut self, round: usize) -> u32 {
        let earlier = |distance| self.words.get(round.wrapping_sub(distance) & 15).copied().unwrap_or(0);
        let word = if round < 16 {
            earlier(0)
        } else {
            (earlier(3) ^ earlier(8) ^ earlier(14) ^ earlier(16)).rotate_left(1)
        };
        if let Some(slot) = self.words.get_mut(round & 15) {
            *slot = word;
        }
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, string::String, vec::Vec};

    fn hex(digest: [u8; 20]) -> String {
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn sha1_of(bytes: &[u8]) -> String {
        hex(sha1(bytes.iter().copied()))
    }

    #[test]
    fn published_vectors_of_sha1() {
        // RFC 3174 7.3 and FIPS 180.
        assert_eq!(sha1_of(b""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(sha1_of(b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        let two_blocks = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        assert_eq!(sha1_of(two_blocks), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
        assert_eq!(sha1_of(&[b'a'; 1_000_000]), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
        let digits = b"0123456701234567012345670123456701234567012345670123456701234567".repeat(10);
        assert_eq!(sha1_of(&digits), "dea356a2cddd90c7a7ecedc5ebb563934f460452");
    }

    /// Every length up to 300 (so every kind of padding), against the same sum computed with another implementation.
    #[test]
    fn every_length_of_sha1() {
        let message = |len: usize| (0..len).map(move |at| (at * 7 + len) as u8);
        let digests: Vec<u8> = (0..=300).flat_map(|len| sha1(message(len))).collect();
        assert_eq!(sha1_of(&digests), "e570432b09ac39935ad256f819b381ba3900dbbd");
    }

    /// 256 keys, against the same sum computed with another implementation.
    #[test]
    fn base64_of_keys() {
        let nonce = |n: usize| core::array::from_fn(|at| (n * 3 + at * n + at) as u8);
        let keys: Vec<u8> = (0..256).flat_map(|n| encode_key(&nonce(n))).collect();
        assert_eq!(sha1_of(&keys), "452644dd23f72591b2bab83f55a16fb7537631c4");
        assert!(keys.chunks(24).all(is_valid_key));
    }

    #[test]
    fn base64_of_short_texts() {
        // RFC 4648 10.
        for (text, expected) in
            [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy"), ("", "")]
        {
            let mut out = [0; 8];
            base64(text.as_bytes(), &mut out);
            assert_eq!(&out[..expected.len()], expected.as_bytes());
        }
    }

    #[test]
    fn the_example_of_rfc_6455_1_3() {
        let key = encode_key(b"the sample nonce");
        assert_eq!(&key, b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(&accept_key(&key), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
