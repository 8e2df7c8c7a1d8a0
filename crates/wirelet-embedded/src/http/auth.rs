//! Basic authentication (RFC 7617).

use core::hint::black_box;

use super::response::Cursor;

/// Who may use a route: one user with a password, in the clear on the wire unless TLS is in front.
#[derive(Clone, Copy)]
pub struct BasicAuth<'a> {
    /// What the browser shows when it asks; printable ASCII without quotes.
    pub realm: &'a str,
    /// The user, without a colon.
    pub user: &'a str,
    /// The password.
    pub password: &'a str,
}

impl BasicAuth<'_> {
    /// Whether the value of an Authorization header is this user's. The time it takes depends on the lengths alone.
    pub fn accepts(&self, authorization: Option<&[u8]>) -> bool {
        const SCHEME: &[u8] = b"Basic ";
        let value = authorization.unwrap_or_default();
        let (scheme, token) = value.split_at_checked(SCHEME.len()).unwrap_or_default();
        let token = token.trim_ascii_start();
        let groups = Groups { user: self.user, password: self.password, at: 0 };
        let mut difference = u8::from(token.len() != groups.coded_len());
        for (at, character) in groups.flatten().enumerate() {
            let theirs = token.get(at).copied().unwrap_or_default();
            difference = black_box(difference | (character ^ theirs));
        }
        difference == 0 && scheme.eq_ignore_ascii_case(SCHEME)
    }
}

/// Writes the value of an Authorization header; `None` when it does not fit.
pub(crate) fn basic<'o>(user: &str, password: &str, out: &'o mut [u8]) -> Option<&'o str> {
    let mut value = Cursor::new(out);
    value.put("Basic ");
    for group in (Groups { user, password, at: 0 }) {
        value.put(core::str::from_utf8(&group).unwrap_or_default());
    }
    value.into_text()
}

impl core::fmt::Debug for BasicAuth<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BasicAuth")
            .field("realm", &self.realm)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Base64 (RFC 4648) of `user:password`, with its padding, in groups of four.
struct Groups<'u> {
    user: &'u str,
    password: &'u str,
    /// The next byte.
    at: usize,
}

impl Groups<'_> {
    const fn coded_len(&self) -> usize {
        let plain = self.user.len().saturating_add(1).saturating_add(self.password.len());
        plain.div_ceil(3).saturating_mul(4)
    }

    fn byte(&mut self) -> Option<u8> {
        let at = self.at;
        self.at = at.wrapping_add(1);
        match at.checked_sub(self.user.len()) {
            None => self.user.as_bytes().get(at).copied(),
            Some(0) => Some(b':'),
            Some(after) => self.password.as_bytes().get(after.wrapping_sub(1)).copied(),
        }
    }
}

impl Iterator for Groups<'_> {
    type Item = [u8; 4];

    #[inline(never)]
    fn next(&mut self) -> Option<[u8; 4]> {
        let first = self.byte()?;
        let (second, third) = (self.byte(), self.byte());
        let bits = u32::from_be_bytes([0, first, second.unwrap_or(0), third.unwrap_or(0)]);
        let character = |shift: u32| character((bits >> shift & 63) as u8);
        let padded = |present: bool, shift| if present { character(shift) } else { b'=' };
        Some([character(18), character(12), padded(second.is_some(), 6), padded(third.is_some(), 0)])
    }
}

const fn character(sextet: u8) -> u8 {
    match sextet {
        0..=25 => b'A' + sextet,
        26..=51 => b'a' + (sextet - 26),
        52..=61 => b'0' + (sextet - 52),
        62 => b'+',
        _ => b'/',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_with_every_padding() {
        for (user, password, coded) in [
            ("", "", "Og=="),
            ("f", "", "Zjo="),
            ("f", "o", "Zjpv"),
            ("fo", "ob", "Zm86b2I="),
            ("foobar", "", "Zm9vYmFyOg=="),
            ("", "foobar", "OmZvb2Jhcg=="),
            ("??>", "??>", "Pz8+Oj8/Pg=="),
        ] {
            let groups = || Groups { user, password, at: 0 };
            let text: std::string::String = groups().flatten().map(char::from).collect();
            assert_eq!((text.as_str(), text.len()), (coded, groups().coded_len()));
        }
    }

    #[test]
    fn only_the_user_with_the_password_is_accepted() {
        // RFC 7617 2.
        let auth = BasicAuth { realm: "WallyWorld", user: "Aladdin", password: "open sesame" };
        assert!(auth.accepts(Some(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")));
        assert!(auth.accepts(Some(b"basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")));
        for wrong in [
            &b""[..],
            b"Basic ",
            b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=",
            b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==x",
            b"Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZR==",
        ] {
            assert!(!auth.accepts(Some(wrong)), "{}", wrong.escape_ascii());
        }
        assert!(!auth.accepts(None));
        let mut out = [0; 34];
        assert_eq!(basic("Aladdin", "open sesame", &mut out), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        assert_eq!(basic("Aladdin", "open sesame!!!", &mut out), None);
    }
}
