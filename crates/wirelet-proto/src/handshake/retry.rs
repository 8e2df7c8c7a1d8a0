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
fn seconds(date: &[u8]) -> Option<u64> {
    let mut parts =
        date.split(|byte| matches!(byte, b' ' | b',' | b'-' | b':')).filter(|part| !part.is_empty());
    let mut next = || parts.next();
    next().filter(|weekday| weekday.iter().all(u8::is_ascii_alphabetic))?;
    let first = next()?;
    let (day, month, year) = match number(first, 31) {
        Some(day) => (day, next()?, Some(next()?)),
        None => (number(next()?, 31)?, first, None),
    };
    let (hour, minute, second) = (number(next()?, 23)?, number(next()?, 59)?, number(next()?, 60)?);
    let year = match year {
        // RFC 9110 5.6.7: these two forms are in GMT, and say so.
        Some(year) => (next()? == b"GMT").then_some(year)?,
        None => next()?,
    };
    if next().is_some() || day == 0 {
        return None;
    }
    let days = days(full_year(year)?, self::month(month)?, day)?;
    let minutes = days.checked_mul(24)?.checked_add(hour)?.checked_mul(60)?.checked_add(minute)?;
    minutes.checked_mul(60)?.checked_add(second)
}

fn number(digits: &[u8], most: u64) -> Option<u64> {
    decimal(digits).filter(|number| digits.len() <= 2 && *number <= most)
}

/// Of two digits the year that is nearest to this century's first decades. Both dates of a response are written alike.
fn full_year(digits: &[u8]) -> Option<u64> {
    let year = decimal(digits)?;
    match digits.len() {
        2 if year < 70 => Some(year.saturating_add(2000)),
        2 => Some(year.saturating_add(1900)),
        4 if year >= 1970 => Some(year),
        _ => None,
    }
}

/// 0 for March, 10 for January, 11 for February: the day that leap years have more is the last one then.
fn month(name: &[u8]) -> Option<u64> {
    const NAMES: [&[u8; 3]; 12] =
        [b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec", b"Jan", b"Feb"];
    NAMES.iter().position(|known| *known == name).map(|at| at as u64)
}

/// Days from the beginning of 1970 in the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    /// From the beginning of March of the year 0.
    const EPOCH: u64 = 719_468;
    let year = if month >= 10 { year.checked_sub(1)? } else { year };
    let leaps = (year / 4).checked_sub(year / 100)?.checked_add(year / 400)?;
    // 31 and 30 days by turns, but for July and August and the turn of the year.
    let months = month.checked_mul(153)?.checked_add(2)? / 5;
    let days = year.checked_mul(365)?.checked_add(leaps)?.checked_add(months)?;
    days.checked_add(day.checked_sub(1)?)?.checked_sub(EPOCH)
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
