//! UTF-8, checked as it arrives (RFC 6455 8.1).

/// Checks text that arrives in pieces, without waiting for its end: the first byte that no valid text could
/// have here is an error at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Utf8Validator {
    /// The bytes of a character that has begun and not ended.
    begun: [u8; 3],
    len: u8,
}

/// The bytes are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUtf8;

impl Utf8Validator {
    /// Nothing has arrived.
    pub const fn new() -> Self {
        Self { begun: [0; 3], len: 0 }
    }

    /// Whether all that has arrived ends with a whole character.
    #[inline]
    pub const fn is_complete(&self) -> bool {
        self.len == 0
    }

    /// Checks the next piece.
    ///
    /// # Errors
    /// The text is not UTF-8, whatever may follow.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), InvalidUtf8> {
        while self.len > 0 {
            let Some((byte, rest)) = piece.split_first() else { return Ok(()) };
            piece = rest;
            self.extend(*byte)?;
        }
        let tail = whole(piece)?;
        for byte in tail {
            self.hold(*byte);
        }
        Ok(())
    }

    /// One more byte of the character that has begun.
    fn extend(&mut self, byte: u8) -> Result<(), InvalidUtf8> {
        let [a, b, c] = self.begun;
        let mut character = [a, b, c, 0];
        let len = usize::from(self.len);
        if let Some(slot) = character.get_mut(len) {
            *slot = byte;
        }
        let character = character.get(..=len).unwrap_or_default();
        match core::str::from_utf8(character) {
            Ok(_) => self.len = 0,
            Err(error) if error.error_len().is_none() => self.hold(byte),
            Err(_) => return Err(InvalidUtf8),
        }
        Ok(())
    }

    fn hold(&mut self, byte: u8) {
        if let Some(slot) = self.begun.get_mut(usize::from(self.len)) {
            *slot = byte;
            self.len = self.len.saturating_add(1);
        }
    }
}

/// Whether all of `text` is UTF-8 and ends with a whole character.
pub(crate) fn is_valid(text: &[u8]) -> bool {
    whole(text).is_ok_and(<[u8]>::is_empty)
}

/// Checks all whole characters of `piece`; answers the beginning of a last, unfinished one: 0–3 bytes.
fn whole(piece: &[u8]) -> Result<&[u8], InvalidUtf8> {
    #[cfg(feature = "std")]
    if piece.len() >= simd::WORTHWHILE {
        return simd::whole(piece);
    }
    scalar(piece)
}

fn scalar(piece: &[u8]) -> Result<&[u8], InvalidUtf8> {
    match core::str::from_utf8(piece) {
        Ok(_) => Ok(&[]),
        // The error has no length where the input ended inside a character.
        Err(error) if error.error_len().is_none() => Ok(piece.get(error.valid_up_to()..).unwrap_or_default()),
        Err(_) => Err(InvalidUtf8),
    }
}

#[cfg(feature = "std")]
mod simd {
    use super::{InvalidUtf8, scalar};

    /// Below this the standard library's check is as fast.
    pub(super) const WORTHWHILE: usize = 64;

    /// Leaves the last character, which may be unfinished, to the scalar check.
    pub(super) fn whole(piece: &[u8]) -> Result<&[u8], InvalidUtf8> {
        let lead = piece.iter().rev().take(4).position(|byte| byte & 0xc0 != 0x80).unwrap_or(0);
        let cut = piece.len().saturating_sub(lead.saturating_add(1));
        let (body, last) = piece.split_at_checked(cut).unwrap_or((piece, &[]));
        simdutf8::basic::from_utf8(body).map_err(|_| InvalidUtf8)?;
        scalar(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// The whole text at once: the bytes up to the first error, and whether they end inside a character.
    fn reference(bytes: &[u8]) -> Result<bool, ()> {
        match core::str::from_utf8(bytes) {
            Ok(_) => Ok(true),
            Err(error) if error.error_len().is_none() => Ok(false),
            Err(_) => Err(()),
        }
    }

    fn samples() -> Vec<Vec<u8>> {
        let mut samples: Vec<Vec<u8>> =
            ["", "a", "Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\u{10ffff}", "日本語😀"]
                .iter()
                .map(|text| text.as_bytes().to_vec())
                .collect();
        for bad in [
            &b"\xff"[..],
            b"\xc0\x80",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\xf8\x88\x80\x80\x80",
            b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
            b"\xe2\x82",
            b"\x80",
            b"\xf0\x9f\x98",
        ] {
            samples.push(bad.to_vec());
        }
        let long: Vec<u8> = "aé日😀".bytes().cycle().take(300).collect();
        samples.push(long.clone());
        for at in 0..long.len() {
            let mut broken = long.clone();
            broken[at] ^= 0x80;
            samples.push(broken);
        }
        samples
    }

    #[test]
    fn every_split_agrees_with_the_whole() {
        for sample in samples() {
            for cut in 0..=sample.len() {
                let mut validator = Utf8Validator::new();
                let result = validator.push(&sample[..cut]).and_then(|()| validator.push(&sample[cut..]));
                assert_eq!(result.map(|()| validator.is_complete()).map_err(|_| ()), reference(&sample));
            }
        }
    }

    #[test]
    fn fails_at_the_first_impossible_byte() {
        for sample in samples() {
            let mut validator = Utf8Validator::new();
            for at in 0..sample.len() {
                let result = validator.push(&sample[at..=at]);
                assert_eq!(result.is_err(), reference(&sample[..=at]).is_err(), "{sample:x?} {at}");
                if result.is_err() {
                    break;
                }
                assert_eq!(validator.is_complete(), reference(&sample[..=at]) == Ok(true));
            }
        }
    }

    #[test]
    fn all_sequences_of_two_and_three_bytes() {
        for first in 0xc0..=0xff_u8 {
            for second in 0..=0xff_u8 {
                for third in [0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff] {
                    let bytes = [first, second, third];
                    let mut validator = Utf8Validator::new();
                    let result = bytes.iter().try_for_each(|byte| validator.push(&[*byte]));
                    assert_eq!(result.is_err(), reference(&bytes).is_err(), "{bytes:x?}");
                }
            }
        }
    }
}
