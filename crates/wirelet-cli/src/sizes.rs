//! Sizes and durations as people type them: `64KiB`, `16MiB`, `4096`; `300ms`, `20s`, `2m`.

use std::fmt;
use std::time::Duration;

/// Bytes from `4096`, `64KiB`, `16 MiB`, `1GiB`; units in any case, the `iB` may be left out. All units are
/// powers of two, except `kB`, `MB` and `GB`, which are what they say: powers of ten.
///
/// # Errors
/// A text that says which forms are understood.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(BYTES_HINT.into()),
    };
    let number: u64 = number.parse().map_err(|_| BYTES_HINT.to_string())?;
    match number.checked_mul(factor) {
        Some(0) => Err("at least one byte is needed".into()),
        Some(bytes) => Ok(bytes),
        None => Err("that is more than 2^64 bytes".into()),
    }
}

/// A duration from `300ms`, `20s`, `2m`, `1h`. A number needs its unit, so that nobody has to guess.
///
/// # Errors
/// A text that says which forms are understood.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let factor: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(DURATION_HINT.into()),
    };
    let number: u64 = number.parse().map_err(|_| DURATION_HINT.to_string())?;
    let millis = number.checked_mul(factor).filter(|&millis| millis <= LONGEST.as_millis() as u64);
    millis.map(Duration::from_millis).ok_or_else(|| "the longest duration is 8760h (a year)".into())
}

/// A duration that must not be zero.
///
/// # Errors
/// As [`parse_duration`].
pub(crate) fn parse_some_duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("zero is not a duration here".into()),
        duration => Ok(duration),
    }
}

/// A time between two things, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval(pub(crate) Option<Duration>);

/// A duration as in [`parse_some_duration`], or `off`.
///
/// # Errors
/// As [`parse_duration`].
pub(crate) fn parse_interval(text: &str) -> Result<Interval, String> {
    if text == "off" {
        return Ok(Interval(None));
    }
    parse_some_duration(text)
        .map(|duration| Interval(Some(duration)))
        .map_err(|hint| format!("{hint}, or off"))
}

/// Shows bytes as people read them: `10 bytes`, `64.0 KiB`.
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        match bytes {
            1 => f.write_str("1 byte"),
            0..10_240 => write!(f, "{bytes} bytes"),
            10_240..0x10_0000 => write!(f, "{:.1} KiB", bytes as f64 / 1024.0),
            _ => write!(f, "{:.1} MiB", bytes as f64 / 1_048_576.0),
        }
    }
}

/// Shows a duration as [`parse_duration`] takes it: `300 ms`, `5 s`, `1.5 s`.
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            0..1_000 => write!(f, "{millis} ms"),
            _ if millis.is_multiple_of(1_000) => write!(f, "{} s", millis / 1_000),
            _ => write!(f, "{} s", self.0.as_secs_f64()),
        }
    }
}

const BYTES_HINT: &str = "expected bytes such as 4096, 64KiB or 16MiB";
const DURATION_HINT: &str = "expected a duration with its unit, such as 300ms, 20s or 2m";
const LONGEST: Duration = Duration::from_secs(8760 * 3600);

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    (number, unit.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_with_and_without_unit() {
        for (text, bytes) in [
            ("1", 1),
            ("4096", 4096),
            ("64KiB", 65_536),
            ("64 kib", 65_536),
            ("16MiB", 16 << 20),
            ("16m", 16 << 20),
            ("1GiB", 1 << 30),
            ("1kB", 1_000),
            ("2MB", 2_000_000),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in
            ["", "KiB", "-1", "1.5MiB", "16MiBs", "0", "0KiB", "18446744073709551616", "17179869184GiB", "½"]
        {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        for (text, millis) in [
            ("300ms", 300),
            ("20s", 20_000),
            ("2m", 120_000),
            ("2 min", 120_000),
            ("1h", 3_600_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in
            ["", "5", "s", "-5s", "1.5s", "5 S", "8761h", "99999999999999999999s", "18446744073709551615h"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(parse_some_duration("0ms").is_err());
    }

    #[test]
    fn an_interval_may_be_off() {
        assert_eq!(parse_interval("off"), Ok(Interval(None)));
        assert_eq!(parse_interval("5s"), Ok(Interval(Some(Duration::from_secs(5)))));
        assert!(parse_interval("0s").is_err());
        assert!(parse_interval("never").unwrap_err().contains("or off"));
    }

    #[test]
    fn shown_as_people_read_them() {
        let bytes = [0, 1, 10, 10_240, 1 << 20].map(|bytes| Bytes(bytes).to_string());
        assert_eq!(bytes, ["0 bytes", "1 byte", "10 bytes", "10.0 KiB", "1.0 MiB"]);
        let spans = [300, 5_000, 1_500].map(|millis| Span(Duration::from_millis(millis)).to_string());
        assert_eq!(spans, ["300 ms", "5 s", "1.5 s"]);
    }
}
