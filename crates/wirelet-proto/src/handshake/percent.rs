//! Percent-encoding (RFC 3986 2.1): what an escaped text stands for.

/// The bytes that a percent-encoded text stands for, one after the other. What is no escape stays as it is, as browsers have it;
/// [`is_malformed`](Self::is_malformed) tells whether there was such a thing.
///
/// ```
/// use wirelet_proto::handshake::PercentDecoded;
///
/// let bytes: Vec<u8> = PercentDecoded::new("caf%C3%A9 100%").collect();
/// assert_eq!(bytes, "café 100%".as_bytes());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct PercentDecoded<'t> {
    rest: &'t [u8],
    /// What a plus sign stands for.
    plus: u8,
    malformed: bool,
}

impl<'t> PercentDecoded<'t> {
    /// Of a part of a URI.
    pub const fn new(text: &'t str) -> Self {
        Self { rest: text.as_bytes(), plus: b'+', malformed: false }
    }

    /// Of a name or a value of an HTML form (`application/x-www-form-urlencoded`), in a body or a query, where a plus sign is a space.
    pub const fn form(text: &'t str) -> Self {
        Self { rest: text.as_bytes(), plus: b' ', malformed: false }
    }

    /// Whether a `%` has been passed that begins no escape.
    pub const fn is_malformed(&self) -> bool {
        self.malformed
    }

    /// The decoded text, in `out`. `None` when it is no UTF-8, finds no room, or has a `%` that begins no escape: three bytes become one,
    /// so room for the encoded text is always enough.
    #[inline(never)] // flash: it is called in several places
    pub fn into_text(mut self, out: &mut [u8]) -> Option<&str> {
        let mut len = 0_usize;
        for byte in &mut self {
            *out.get_mut(len)? = byte;
            len = len.checked_add(1)?;
        }
        core::str::from_utf8(out.get(..len)?).ok().filter(|_| !self.malformed)
    }
}

impl Iterator for PercentDecoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        match (first, rest) {
            (b'+', _) => Some(self.plus),
            (b'%', [high, low, rest @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                self.rest = rest;
                Some(digit(*high) << 4 | digit(*low))
            }
            (byte, _) => {
                self.malformed |= *byte == b'%';
                Some(*byte)
            }
        }
    }
}

/// The value of a hexadecimal digit.
const fn digit(character: u8) -> u8 {
    // Of a letter, in either case, the low bits count from 1.
    (character & 15).wrapping_add(if character.is_ascii_digit() { 0 } else { 9 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_escape_stands_for_its_byte() {
        for byte in 0..=u8::MAX {
            for text in [std::format!("%{byte:02x}"), std::format!("%{byte:02X}")] {
                let mut decoded = PercentDecoded::new(&text);
                assert_eq!(
                    (decoded.next(), decoded.next(), decoded.is_malformed()),
                    (Some(byte), None, false)
                );
            }
        }
    }

    #[test]
    fn what_is_no_escape_stays_and_is_told() {
        for text in ["%", "%4", "%zz", "a%4gb", "%%", "%+1"] {
            let mut decoded = PercentDecoded::new(text);
            assert!(decoded.by_ref().eq(text.bytes()) && decoded.is_malformed(), "{text}");
            assert_eq!(PercentDecoded::new(text).into_text(&mut [0; 16]), None, "{text}");
        }
        // The second percent sign begins an escape.
        assert!(PercentDecoded::new("%%41").eq(*b"%A"));
    }

    #[test]
    fn text_is_decoded_where_it_is_text_and_has_room() {
        let mut out = [0; 8];
        assert_eq!(PercentDecoded::new("a+b%20c").into_text(&mut out), Some("a+b c"));
        assert_eq!(PercentDecoded::form("a+b%20c%2B").into_text(&mut out), Some("a b c+"));
        assert_eq!(PercentDecoded::new("").into_text(&mut []), Some(""));
        assert_eq!(PercentDecoded::new("%C3%A4").into_text(&mut out), Some("\u{e4}"));
        assert_eq!(PercentDecoded::new("%C3").into_text(&mut out), None);
        assert_eq!(PercentDecoded::new("123456789").into_text(&mut out), None);
    }
}
