//! Bytes that have been validated once, as `&str`, without a second check for each look at them.

/// The text in `bytes`, which the caller has validated: [`Text`](crate::Text) is only made of a `String`, a `&str`,
/// or of what the core has passed as UTF-8, and its bytes are shared and immutable.
/// [`MessageRef`](crate::MessageRef) refers to such bytes.
#[inline]
pub(crate) fn checked_str(bytes: &[u8]) -> &str {
    debug_assert_eq!(safe_str(bytes).map(str::len), Some(bytes.len()));
    // SAFETY: see above; every constructor of both is in `message.rs` and starts from valid UTF-8.
    unsafe { core::str::from_utf8_unchecked(bytes) }
}

/// The safe twin.
#[inline]
pub(crate) fn safe_str(bytes: &[u8]) -> Option<&str> {
    core::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twins_agree() {
        for text in ["", "a", "κόσμε", "日本語", "🦀", "a\u{10ffff}b\0"] {
            assert_eq!(Some(checked_str(text.as_bytes())), safe_str(text.as_bytes()));
        }
        assert_eq!(safe_str(&[0xff]), None);
    }
}
