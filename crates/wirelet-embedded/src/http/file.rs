//! Files in flash.

use wirelet_proto::handshake::RequestHead;

/// A file as it lies in flash, usually from `include_bytes!`.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// The value of Content-Type.
    pub content_type: &'a str,
    /// Whether `bytes` are compressed with gzip. Clients that don't take gzip are answered 406.
    pub gzip: bool,
    /// The value of ETag, quotes included (`"\"1f3a\""`): a client that has this version is answered 304.
    pub etag: Option<&'a str>,
    /// The value of Cache-Control.
    pub cache: &'a str,
    /// Further headers, Content-Security-Policy for example; at most 4 are sent.
    pub headers: &'a [(&'a str, &'a str)],
}

/// How a request for a file is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Whole,
    NotModified,
    NotAcceptable,
}

impl<'a> File<'a> {
    /// A file that is not compressed and has no ETag; clients ask again each time.
    pub const fn new(bytes: &'a [u8], content_type: &'a str) -> Self {
        Self { bytes, content_type, gzip: false, etag: None, cache: "no-cache", headers: &[] }
    }

    pub(crate) fn answer(&self, head: &RequestHead<'_>) -> Answer {
        // RFC 9110 13.1.2: weak comparison.
        let strip = |tag: &'static str, value: &[u8]| value.strip_prefix(tag.as_bytes()).is_some();
        let same = |etag: &str| {
            head.headers().list("If-None-Match").any(|listed| {
                let strong = if strip("W/", listed) { listed.get(2..).unwrap_or_default() } else { listed };
                listed == b"*" || strong == etag.as_bytes()
            })
        };
        if self.gzip && !takes_gzip(head) {
            Answer::NotAcceptable
        } else if self.etag.is_some_and(same) {
            Answer::NotModified
        } else {
            Answer::Whole
        }
    }
}

/// RFC 9110 12.5.3: without Accept-Encoding anything is acceptable; a weight of 0 is a refusal.
fn takes_gzip(head: &RequestHead<'_>) -> bool {
    if head.header("Accept-Encoding").is_none() {
        return true;
    }
    let (mut gzip, mut others) = (None, None);
    for element in head.headers().list("Accept-Encoding") {
        let mut parts = element.splitn(2, |byte| *byte == b';');
        let name = parts.next().unwrap_or_default().trim_ascii();
        // RFC 9110 8.4.1.3: x-gzip is another name of gzip.
        let place = if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
            &mut gzip
        } else if name == b"*" {
            &mut others
        } else {
            continue;
        };
        place.get_or_insert(!is_zero(parts.next().unwrap_or_default().trim_ascii()));
    }
    gzip.or(others).unwrap_or(false)
}

fn is_zero(parameters: &[u8]) -> bool {
    let weight = parameters.strip_prefix(b"q=").or_else(|| parameters.strip_prefix(b"Q="));
    weight.is_some_and(|weight| weight.iter().all(|byte| matches!(byte, b'0' | b'.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(file: &File<'_>, headers: &str) -> Answer {
        let text = std::format!("GET / HTTP/1.1\r\n{headers}\r\n");
        file.answer(&RequestHead::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        let file = File { gzip: true, ..File::new(b"", "text/html") };
        for taken in
            ["", "Accept-Encoding: br, gzip\r\n", "Accept-Encoding: *\r\n", "Accept-Encoding: GZIP;q=0.5\r\n"]
        {
            assert_eq!(answer(&file, taken), Answer::Whole, "{taken}");
        }
        for refused in ["br", "gzip;q=0", "gzip; q=0.000, *", "*;q=0", ""] {
            let header = std::format!("Accept-Encoding: {refused}\r\n");
            assert_eq!(answer(&file, &header), Answer::NotAcceptable, "{refused}");
        }
    }

    #[test]
    fn the_same_version_is_not_sent_again() {
        let file = File { etag: Some("\"a1\""), ..File::new(b"", "text/html") };
        for same in ["\"a1\"", "W/\"a1\"", "\"b\", \"a1\"", "*"] {
            let header = std::format!("If-None-Match: {same}\r\n");
            assert_eq!(answer(&file, &header), Answer::NotModified, "{same}");
        }
        assert_eq!(answer(&file, "If-None-Match: \"a2\"\r\n"), Answer::Whole);
        assert_eq!(answer(&File::new(b"", ""), "If-None-Match: *\r\n"), Answer::Whole);
    }
}
