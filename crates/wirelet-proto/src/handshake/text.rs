//! Looking at bytes and cutting text. `str`'s own searchers are not used: they bring panic paths into firmware.

/// RFC 9110 5.6.2: the characters of a token.
pub(super) const fn is_tchar(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')
}

/// What a request target may hold: visible ASCII, without a fragment and without what RFC 3986 (2, A) lets stand nowhere and every
/// browser encodes. Others that it forbids (`|`, `^`, `{`, `}`, `\`, a backquote) browsers send in queries as they are.
pub(super) const fn is_target_character(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>')
}

pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_tchar(*byte))
}

pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// A control character other than HTAB (RFC 9110 5.5).
pub(super) const fn is_control(byte: u8) -> bool {
    matches!(byte, 0..=8 | 10..=31 | 127)
}

/// Without spaces and tabs at both ends (the only white space that heads let in).
pub(super) const fn trim(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

/// `bytes` as text if all of them are visible ASCII (no space either).
pub(super) fn visible_str(bytes: &[u8]) -> Option<&str> {
    bytes.iter().all(u8::is_ascii_graphic).then(|| core::str::from_utf8(bytes).ok())?
}

/// `bytes` as text if they are a token.
pub(super) fn token_str(bytes: &[u8]) -> Option<&str> {
    is_token(bytes).then(|| core::str::from_utf8(bytes).ok())?
}

/// The number in a run of digits, as Content-Length has it (RFC 9110 8.6); `None` if it is empty, has anything else in it or is beyond
/// `u64`.
#[inline(never)] // flash: it is called in many places
pub fn decimal(digits: &[u8]) -> Option<u64> {
    let mut number = (!digits.is_empty()).then_some(0u64)?;
    for digit in digits {
        let digit = digit.is_ascii_digit().then_some(digit & 15)?;
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(number)
}

/// What stands before and after the first such byte.
pub(super) fn cut(bytes: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|found| *found == byte)?;
    Some((bytes.get(..at)?, bytes.get(at.checked_add(1)?..)?))
}

/// What stands before and after the first such ASCII character.
pub(super) fn cut_str(text: &str, ascii: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|found| found == ascii)?;
    Some((text.get(..at)?, text.get(at.checked_add(1)?..)?))
}

/// Scheme and rest of `scheme://rest`.
pub(super) fn cut_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = cut_str(text, b':')?;
    Some((scheme, rest.strip_prefix("//")?))
}

/// An authority, and the path and query after it.
pub(super) fn cut_authority(text: &str) -> Option<(&str, &str)> {
    text.split_at_checked(text.bytes().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(text.len()))
}
