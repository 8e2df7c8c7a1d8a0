//! Messages that know their number: it stands in front, as far as there is room, and what follows depends on it.

use std::sync::OnceLock;

/// Numbers are below this: the largest that two characters can say.
pub const NUMBERS: usize = BASE * BASE;

/// The sizes at which something changes, bytes.
pub const SIZES: [usize; 7] = [0, 1, 125, 126, 65_535, 65_536, 200_000];

const BASE: usize = 94;
const LARGEST: usize = 1 << 18;

/// The smallest payload that says `number`, bytes.
pub const fn smallest(number: usize) -> usize {
    if number < BASE { 1 } else { 2 }
}

/// The payload of message `number`, `size` bytes of ASCII; of an empty one nobody can say its number.
pub fn payload(number: usize, size: usize) -> String {
    assert!(number < NUMBERS && (size == 0 || size >= smallest(number)));
    let mut text = String::with_capacity(size);
    for digit in [number % BASE, number / BASE].into_iter().take(size) {
        text.push(char::from(b'!' + digit as u8));
    }
    text.push_str(&filling()[number % 97..][..size - text.len()]);
    text
}

/// The number of a payload.
///
/// # Errors
/// What is wrong with it.
pub fn number(payload: &[u8]) -> Result<Option<usize>, String> {
    let digits = payload.len().min(2);
    let mut number = 0;
    for byte in payload[..digits].iter().rev() {
        let digit = usize::from(byte.wrapping_sub(b'!'));
        if digit >= BASE {
            return Err(format!("a message begins with {:?}", payload[..digits].escape_ascii().to_string()));
        }
        number = number * BASE + digit;
    }
    let filling = &filling().as_bytes()[number % 97..];
    if payload.len() > LARGEST || payload[digits..] != filling[..payload.len() - digits] {
        return Err(format!("message {number} of {} bytes has another payload than was sent", payload.len()));
    }
    Ok((digits > 0).then_some(number))
}

fn filling() -> &'static str {
    static FILLING: OnceLock<String> = OnceLock::new();
    FILLING.get_or_init(|| {
        (0..LARGEST + 97).map(|i| char::from(b'!' + ((i * 7 + i / 251) % 90) as u8)).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_back_at_every_size() {
        for size in SIZES {
            for at in [0, 1, 93, 94, NUMBERS - 1] {
                if size >= smallest(at) {
                    assert_eq!(number(payload(at, size).as_bytes()), Ok(Some(at)));
                }
            }
        }
        assert_eq!(number(b""), Ok(None));
        let mut wrong = payload(5, 300).into_bytes();
        wrong[200] ^= 1;
        assert!(number(&wrong).is_err());
        assert!(number(&payload(5, 300).as_bytes()[1..]).is_err());
    }
}
