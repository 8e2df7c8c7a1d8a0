//! What a peer sent, made safe to show: one line, bounded, no control characters. A peer must not be able to
//! recolour a terminal, move its cursor or fake a log line.

use std::fmt::{self, Write};

/// The longest piece of a payload that is shown, in characters.
pub(crate) const PREVIEW: usize = 96;

/// Text of at most `limit` characters on one line; what is cut off is marked with `…`.
pub(crate) struct Text<'a> {
    text: &'a str,
    limit: usize,
}

/// Text as a preview.
pub(crate) fn text(text: &str) -> Text<'_> {
    Text { text, limit: PREVIEW }
}

/// Text in full length.
pub(crate) fn full(text: &str) -> Text<'_> {
    Text { text, limit: usize::MAX }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.text.chars();
        for c in rest.by_ref().take(self.limit) {
            if is_unsafe(c) { write!(f, "{}", c.escape_unicode())? } else { f.write_char(c)? }
        }
        if rest.next().is_some() { f.write_char('…') } else { Ok(()) }
    }
}

/// A URL without its user information: a password is not for the screen.
pub(crate) fn url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return full(url).to_string() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let at = authority.rfind('@').map_or(0, |at| at + 1);
    full(&format!("{scheme}://{}", rest.get(at..).unwrap_or(""))).to_string()
}

/// Bytes as hexadecimal, at most `PREVIEW / 3` of them.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().take(PREVIEW / 3).enumerate() {
            if i > 0 {
                f.write_char(' ')?;
            }
            write!(f, "{byte:02x}")?;
        }
        if self.0.len() > PREVIEW / 3 { f.write_str(" …") } else { Ok(()) }
    }
}

/// Control characters, line and paragraph separators, and what turns the direction of writing.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_spelled_out() {
        assert_eq!(text("a\x1b[31mb\r\nc").to_string(), "a\\u{1b}[31mb\\u{d}\\u{a}c");
        assert_eq!(text("x\u{202e}y").to_string(), "x\\u{202e}y");
        assert_eq!(text("grün 你好 🦀").to_string(), "grün 你好 🦀");
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(url("ws://me:secret@host:1/a@b"), "ws://host:1/a@b");
        assert_eq!(url("ws://me:se@cret@host"), "ws://host");
        assert_eq!(url("ws://host/?q=a@b"), "ws://host/?q=a@b");
        assert_eq!(url("nonsense\n"), "nonsense\\u{a}");
    }

    #[test]
    fn long_payloads_are_cut() {
        let long = "é".repeat(PREVIEW + 1);
        assert_eq!(text(&long).to_string(), format!("{}…", "é".repeat(PREVIEW)));
        assert_eq!(text(&long[2..]).to_string(), "é".repeat(PREVIEW));
        assert_eq!(full(&long).to_string(), long);
        assert_eq!(Hex(&[0, 255, 16]).to_string(), "00 ff 10");
        assert!(Hex(&[7; 33]).to_string().ends_with("07 …"));
    }
}
