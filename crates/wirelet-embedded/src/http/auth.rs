//! Basic authentication (RFC 7617).

use core::hint::black_box;

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
        let plain = || self.user.bytes().chain(core::iter::once(b':')).chain(self.password.bytes());
        let expected = base64(plain());
        let wanted = plain().count().div_ceil(3).saturating_mul(4);
        let differences = expected.zip(token.iter().chain(core::iter::repeat(&0)));
        let difference = differences.fold(0, |seen, (a, b)| black_box(seen | (a ^ *b)));
        difference == 0 && token.len() == wanted && scheme.eq_ignore_ascii_case(SCHEME)
    }
}

/// Writes the value of an Authorization header; `None` when it does not fit.
pub(crate) fn basic<'o>(user: &str, password: &str, out: &'o mut [u8]) -> Option<&'o str> {
    let plain = user.bytes().chain(core::iter::once(b':')).chain(password.bytes());
    let mut len = 0;
    for byte in b"Basic ".iter().copied().chain(base64(plain)) {
        *out.get_mut(len)? = byte;
        len += 1;
    }
    core::str::from_utf8(out.get(..len)?).ok()
}

impl core::fmt::Debug for BasicAuth<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BasicAuth")
            .field("realm", &self.realm)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Base64 (RFC 4648) of an iterator, with its padding, in groups of four.
struct Groups<I>(I);

impl<I: Iterator<Item = u8>> Iterator for Groups<I> {
    type Item = [u8; 4];

    fn next(&mut self) -> Option<[u8; 4]> {
        let first = self.0.next()?;
        let (second, third) = (self.0.next(), self.0.next());
        let bits = u32::from_be_bytes([0, first, second.unwrap_or(0), third.unwrap_or(0)]);
        let character = |shift: u32| character((bits >> shift & 63) as u8);
        let padded = |present: bool, shift| if present { character(shift) } else { b'=' };
        Some([character(18), character(12), padded(second.is_some(), 6), padded(third.is_some(), 0)])
    }
}

fn base64(bytes: impl Iterator<Item = u8>) -> impl Iterator<Item = u8> {
    Groups(bytes).flatten()
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
    fn base64_as_in_rfc_4648_section_10() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
            ("??>", "Pz8+"),
        ] {
            assert_eq!(base64(plain.bytes()).map(char::from).collect::<std::string::String>(), coded);
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
