//! `--compress`, and what came of it.

use std::fmt;

use wirelet::{Compression, CompressionInfo, Volume};

use crate::sizes::Bytes;

/// A mode: `off`, `shared`, `windowed` or `windowed:BYTES`, `dedicated` or `dedicated:BITS`.
///
/// # Errors
/// A text that says which forms are understood.
pub(crate) fn parse_compression(text: &str) -> Result<Compression, String> {
    let (mode, number) = match text.split_once(':') {
        None => (text, None),
        Some((mode, number)) => (mode, Some(number.parse::<u16>().map_err(|_| HINT)?)),
    };
    match (mode, number) {
        ("off", None) => Ok(Compression::off()),
        ("shared", None) => Ok(Compression::shared()),
        ("windowed", None) => Ok(Compression::windowed(LARGEST_KEPT)),
        ("windowed", Some(bytes @ 1..=LARGEST_KEPT)) => Ok(Compression::windowed(bytes)),
        ("windowed", Some(_)) => Err(format!("1 to {LARGEST_KEPT} bytes can be kept")),
        ("dedicated", None) => Ok(Compression::dedicated(15)),
        ("dedicated", Some(bits @ 9..=15)) => Ok(Compression::dedicated(bits as u8)),
        ("dedicated", Some(_)) => Err("a window has 9 to 15 bits: from 512 bytes to 32 KiB".into()),
        _ => Err(HINT.into()),
    }
}

/// What can be kept for a connection, bytes.
const LARGEST_KEPT: u16 = 4096;
const HINT: &str = "expected off, shared, windowed, windowed:BYTES, dedicated or dedicated:BITS";

/// What compression has saved so far: `sent 10.0 KiB as 3.1 KiB (3.2:1), received nothing`.
pub(crate) struct Savings(pub(crate) CompressionInfo);

impl fmt::Display for Savings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sent {}, received {}", Saving(self.0.sent), Saving(self.0.received))
    }
}

/// One direction.
struct Saving(Volume);

impl fmt::Display for Saving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let volume = self.0;
        match volume.ratio() {
            None => f.write_str("nothing"),
            Some(ratio) => write!(f, "{} as {} ({ratio:.1}:1)", Bytes(volume.plain), Bytes(volume.wire)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_as_people_type_them() {
        for (text, compression) in [
            ("off", Compression::off()),
            ("shared", Compression::shared()),
            ("windowed", Compression::windowed(4096)),
            ("windowed:1024", Compression::windowed(1024)),
            ("dedicated", Compression::dedicated(15)),
            ("dedicated:9", Compression::dedicated(9)),
        ] {
            assert_eq!(parse_compression(text), Ok(compression), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_is_told_what_can() {
        for text in
            ["", "on", "Shared", "off:1", "shared:12", "dedicated:", "dedicated:nine", "dedicated:12:1"]
        {
            assert_eq!(parse_compression(text), Err(HINT.into()), "{text}");
        }
        for bits in ["8", "16", "0", "65535"] {
            assert!(
                parse_compression(&format!("dedicated:{bits}")).unwrap_err().contains("9 to 15 bits"),
                "{bits}"
            );
        }
        for bytes in ["0", "4097"] {
            assert!(parse_compression(&format!("windowed:{bytes}")).unwrap_err().contains("4096"), "{bytes}");
        }
    }

    #[test]
    fn savings_are_told_for_each_direction() {
        let volume = |plain, wire| Saving(Volume { plain, wire }).to_string();
        assert_eq!(volume(0, 0), "nothing");
        assert_eq!(volume(900, 300), "900 bytes as 300 bytes (3.0:1)");
        assert_eq!(volume(20_480, 21_000), "20.0 KiB as 20.5 KiB (1.0:1)");
    }
}
