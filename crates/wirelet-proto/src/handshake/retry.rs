//! When a server that refuses wants to be asked again (RFC 9110 10.2.3), and the dates in which it says so.

use core::time::Duration;

use super::head::ResponseHead;
use super::text::decimal;

/// How long after a response its Retry-After is. A date is taken relative to the response's own Date: the client's clock may be wrong, or
/// there may be none. Without a Date it says nothing.
pub(super) fn retry_after(head: &ResponseHead<'_>) -> Option<Duration> {
    let value = head.header("Retry-After")?;
    if let Some(seconds) = decimal(value) {
        return Some(Duration::from_secs(seconds));
    }
    let (then, now) = (seconds(value)?, head.header("Date").and_then(seconds)?);
    Some(Duration::from_secs(then.saturating_sub(now)))
}

/// Seconds from the beginning of 1970 to a date, in each of the three forms that RFC 9110 5.6.7 has a recipient accept:
/// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994`. The day of the week is not
/// compared.
#[inline(never)] // flash: it is called twice
fn seconds(date: &[u8]) -> Option<u64> {
    let mut parts = [&b""[..]; 8];
    let mut places = parts.iter_mut();
    let found = date.split(|byte| matches!(byte, b' ' | b',' | b'-' | b':'));
    for part in found.filter(|part| !part.is_empty()) {
        *places.next()? = part;
    }
    let [weekday, a, b, c, d, e, f, zone] = parts;
    // Two of the forms are in GMT and say so.
    let (day, month, year, time) = match zone {
        b"GMT" => (a, b, c, [d, e, f]),
        b"" => (b, a, f, [c, d, e]),
        _ => return None,
    };
    if !weekday.iter().all(u8::is_ascii_alphabetic) {
        return None;
    }
    let days = days(full_year(year)?, self::month(month)?, number(day, 31).filter(|day| *day > 0)?);
    let mut seconds = u64::from(days);
    // RFC 9110 5.6.7: a leap second has the number 60.
    for (part, (most, unit)) in time.into_iter().zip([(23, 24), (59, 60), (60, 60)]) {
        seconds = seconds.wrapping_mul(unit).wrapping_add(number(part, most)?.into());
    }
    Some(seconds)
}

#[inline(never)]
fn number(digits: &[u8], most: u32) -> Option<u32> {
    let digit = |number: u32, byte: &u8| {
        byte.is_ascii_digit().then(|| number.wrapping_mul(10).wrapping_add(u32::from(byte & 15)))
    };
    let number = digits.iter().try_fold(0, digit)?;
    // Two digits, or the four of a year.
    ((1..=2).contains(&digits.len()) || (digits.len() == 4 && most > 99))
        .then_some(number)
        .filter(|number| *number <= most)
}

/// Of two digits the year that is nearest to this century's first decades. Both dates of a response are written alike.
fn full_year(digits: &[u8]) -> Option<u32> {
    match (number(digits, 9999)?, digits.len()) {
        (year @ 1970.., 4) => Some(year),
        (year @ ..70, 2) => Some(year.wrapping_add(2000)),
        (year, 2) => Some(year.wrapping_add(1900)),
        _ => None,
    }
}

/// 0 for March, 10 for January, 11 for February: the day that leap years have more is the last one then.
fn month(name: &[u8]) -> Option<u32> {
    let at = b"MarAprMayJunJulAugSepOctNovDecJanFeb".chunks(3).position(|known| known == name)?;
    Some(at as u32)
}

/// Days from the beginning of 1970 in the Gregorian calendar, for years up to 9999.
const fn days(year: u32, month: u32, day: u32) -> u32 {
    /// From the beginning of March of the year 0, with the day that is counted from 1.
    const EPOCH: u32 = 719_469;
    let year = year.wrapping_sub((month >= 10) as u32);
    let leaps = (year / 4).wrapping_sub(year / 100).wrapping_add(year / 400);
    // 31 and 30 days by turns, but for July and August and the turn of the year.
    let months = month.wrapping_mul(153).wrapping_add(2) / 5;
    year.wrapping_mul(365).wrapping_add(leaps).wrapping_add(months).wrapping_add(day).wrapping_sub(EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn dates_in_all_three_forms() {
        // RFC 9110 5.6.7: the same moment.
        for date in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(seconds(date.as_bytes()), Some(784_111_777), "{date}");
        }
        for (date, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Tue, 29 Feb 2000 23:59:59 GMT", 951_868_799),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
            ("Fri, 31 Dec 2027 23:59:60 GMT", 1_830_297_600),
            ("Sat, 01-Jan-28 00:00:00 GMT", 1_830_297_600),
            ("Mon Feb 28 12:00:00 2101", 4_139_035_200),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
        ] {
            assert_eq!(seconds(date.as_bytes()), Some(expected), "{date}");
        }
    }

    /// A day after each day of 1970–2120 is the next day, against a calendar that is counted through.
    #[test]
    fn days_follow_each_other() {
        const NAMES: [(&str, u64); 12] = [
            ("Jan", 31),
            ("Feb", 28),
            ("Mar", 31),
            ("Apr", 30),
            ("May", 31),
            ("Jun", 30),
            ("Jul", 31),
            ("Aug", 31),
            ("Sep", 30),
            ("Oct", 31),
            ("Nov", 30),
            ("Dec", 31),
        ];
        let mut expected = 0;
        for year in 1970..=2120u64 {
            let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
            for (name, length) in NAMES {
                for day in 1..=length + u64::from(leap && name == "Feb") {
                    let date = format!("Mon, {day:02} {name} {year} 00:00:00 GMT");
                    assert_eq!(seconds(date.as_bytes()), Some(expected), "{date}");
                    expected += 86_400;
                }
            }
        }
    }

    #[test]
    fn what_is_no_date() {
        for date in [
            "",
            "tomorrow",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49:37 GMT more",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 994 08:49:37 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 06 Nov 19945 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:00 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06 Nov 1994 008:49:37 GMT",
            "Sun, 06 Nov 1994 -8:49 GMT",
            "1994-11-06T08:49:37Z",
            "Sun Nov  6 08:49:37",
            "Sun Nov  6 08:49:37 94 GMT",
        ] {
            assert_eq!(seconds(date.as_bytes()), None, "{date:?}");
        }
    }

    #[test]
    fn a_server_says_when_to_come_back() {
        let now = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        for (headers, expected) in [
            ("", None),
            ("Retry-After: 0\r\n", Some(0)),
            ("Retry-After: 600\r\n", Some(600)),
            ("retry-after:  7 \r\n", Some(7)),
            ("Retry-After: 18446744073709551615\r\n", Some(u64::MAX)),
            ("Retry-After: 18446744073709551616\r\n", None),
            ("Retry-After: -1\r\n", None),
            ("Retry-After: 1.5\r\n", None),
            ("Retry-After: soon\r\n", None),
            ("Retry-After:\r\n", None),
            (
                "Retry-After: Sun, 06 Nov 1994 08:59:37 GMT\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
                Some(600),
            ),
            (
                "Retry-After: Sunday, 06-Nov-94 08:50:37 GMT\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
                Some(60),
            ),
            // A date that has passed, and one that nothing can be compared with.
            (
                "Retry-After: Sun, 06 Nov 1994 08:00:00 GMT\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
                Some(0),
            ),
            ("Retry-After: Sun, 06 Nov 1994 08:59:37 GMT\r\n", None),
            ("Retry-After: Sun, 06 Nov 1994 08:59:37 GMT\r\nDate: now\r\n", None),
        ] {
            let text = format!("HTTP/1.1 503 x\r\n{headers}\r\n");
            let head = ResponseHead::parse(text.as_bytes()).unwrap();
            assert_eq!(head.retry_after(), expected.map(Duration::from_secs), "{headers}");
        }
        let text = format!("HTTP/1.1 429 x\r\n{now}Retry-After: 5\r\n\r\n");
        assert_eq!(ResponseHead::parse(text.as_bytes()).unwrap().retry_after(), Some(Duration::from_secs(5)));
    }
}
