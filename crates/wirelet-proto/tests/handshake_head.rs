//! Heads of HTTP messages: grammar, limits, and what a byte costs (classes A, D, L).

use wirelet_proto::handshake::{HandshakeError, HeadLimits, HeadScanner, RequestHead, ResponseHead};
#[cfg(feature = "std")]
use wirelet_proto::handshake::{Header, HttpVersion};

const CHROME: &[u8] = b"GET /ws?room=7&x=%20 HTTP/1.1\r\nHost: localhost:8080\r\nConnection: Upgrade\r\n\
    Pragma: no-cache\r\nUser-Agent:\t Mozilla/5.0 (X11; Linux x86_64)  \t\r\nX-Empty:\r\nX-Latin: caf\xe9\r\n\
    x-twice: 1\r\nX-Twice: 2\r\n\r\n";

const DEFAULT: HeadLimits = HeadLimits::DEFAULT;

/// Scans at once.
fn scan(bytes: &[u8], limits: &HeadLimits) -> Result<Option<usize>, HandshakeError> {
    HeadScanner::new().scan(bytes, limits)
}

/// Scans in the pieces that `cuts` makes.
fn scan_cut(bytes: &[u8], cuts: &[usize], limits: &HeadLimits) -> Result<Option<usize>, HandshakeError> {
    let mut scanner = HeadScanner::new();
    for cut in cuts {
        if let Some(len) = scanner.scan(&bytes[..*cut], limits)? {
            return Ok(Some(len));
        }
    }
    scanner.scan(bytes, limits)
}

fn request(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: a\r\n\r\n").into_bytes()
}

#[test]
fn a_request_is_read() {
    let mut bytes = CHROME.to_vec();
    bytes.extend_from_slice(b"leftover\x00\x01");
    let head = RequestHead::parse(&bytes).unwrap();
    assert_eq!(scan(&bytes, &DEFAULT), Ok(Some(CHROME.len())));
    assert_eq!(head.len(), CHROME.len());
    assert_eq!((head.method(), head.target()), ("GET", "/ws?room=7&x=%20"));
    assert_eq!((head.path(), head.query()), ("/ws", Some("room=7&x=%20")));
    assert_eq!((head.version().major, head.version().minor), (1, 1));
    let names: Vec<_> = head.headers().map(|header| header.name()).collect();
    let expected = ["Host", "Connection", "Pragma", "User-Agent", "X-Empty", "X-Latin", "x-twice", "X-Twice"];
    assert_eq!(names, expected);
    assert_eq!(head.header("user-agent"), Some(&b"Mozilla/5.0 (X11; Linux x86_64)"[..]));
    assert_eq!(head.header("X-EMPTY"), Some(&b""[..]));
    assert_eq!(head.header("X-Latin"), Some(&b"caf\xe9"[..]));
    assert_eq!(head.header("X-Twice"), Some(&b"1"[..]));
    assert_eq!(head.header("X-Thrice"), None);
    let last = head.headers().last().unwrap();
    assert_eq!((last.value_str(), last.is("x-TWICE")), (Some("2"), true));
}

#[test]
fn targets() {
    let cases = [
        ("/", "/", None, None),
        ("/a/b", "/a/b", None, None),
        ("/a?", "/a", Some(""), None),
        ("/a?b?c", "/a", Some("b?c"), None),
        ("http://h:81/a?b", "/a", Some("b"), Some("h:81")),
        ("WS://h", "/", None, Some("h")),
        ("https://h?b", "/", Some("b"), Some("h")),
        ("/r?u=http://h/x", "/r", Some("u=http://h/x"), None),
        ("ftp://h/a", "ftp://h/a", None, None),
        ("*", "*", None, None),
        ("h:443", "h:443", None, None),
    ];
    for (target, path, query, authority) in cases {
        let bytes = request(&format!("GET {target} HTTP/1.1"));
        let head = RequestHead::parse(&bytes).unwrap();
        assert_eq!(
            (head.path(), head.query(), head.target_authority()),
            (path, query, authority),
            "{target}"
        );
    }
}

#[test]
fn other_requests_are_read_too() {
    for line in ["POST /x HTTP/1.0", "M-SEARCH * HTTP/1.1", "DELETE /|^?`{}\\ HTTP/1.1"] {
        assert!(RequestHead::parse(&request(line)).is_ok(), "{line}");
    }
}

#[test]
fn bad_request_lines() {
    use HandshakeError::{BadCharacter, BadStartLine, BadTarget, Version};
    let cases = [
        ("GET / HTTP/1.1 ", BadStartLine),
        ("GET  / HTTP/1.1", BadStartLine),
        ("GET / HTTP/11", BadStartLine),
        ("GET / HTTP/1.", BadStartLine),
        ("GET / HTTP/a.1", BadStartLine),
        ("GET / http/1.1", BadStartLine),
        ("GET /", BadStartLine),
        ("GET", BadStartLine),
        (" GET / HTTP/1.1", BadStartLine),
        ("G(T / HTTP/1.1", BadStartLine),
        ("GET  HTTP/1.1", BadTarget),
        ("GET /a#b HTTP/1.1", BadTarget),
        ("GET /a\tb HTTP/1.1", BadTarget),
        ("GET /caf\u{e9} HTTP/1.1", BadTarget),
        ("GET /?caf\u{e9} HTTP/1.1", BadTarget),
        ("GET /a\x7f HTTP/1.1", BadCharacter),
        ("GET /?f=\"x\" HTTP/1.1", BadTarget),
        ("GET /?f=<b> HTTP/1.1", BadTarget),
        ("GET /<b HTTP/1.1", BadTarget),
        ("GET /b> HTTP/1.1", BadTarget),
        ("GET http://h/#a HTTP/1.1", BadTarget),
        ("GET / HTTP/1.2", Version),
        ("GET / HTTP/0.9", Version),
        ("GET / HTTP/3.1", Version),
        ("PRI * HTTP/2.0", Version),
    ];
    for (line, error) in cases {
        assert_eq!(RequestHead::parse(&request(line)).map(|head| head.len()), Err(error), "{line:?}");
        assert_eq!(error.status(), if error == Version { 505 } else { 400 });
    }
}

#[test]
fn bad_header_lines() {
    use HandshakeError::{BadCharacter, BadHeaderName, BadLineEnd, FoldedHeader};
    let cases: [(&[u8], _); 14] = [
        (b"Host : a", BadHeaderName),
        (b"Host\t: a", BadHeaderName),
        (b": a", BadHeaderName),
        (b"Host", BadHeaderName),
        (b"Ho st: a", BadHeaderName),
        (b"H\xf6st: a", BadHeaderName),
        (b"Host(: a", BadHeaderName),
        (b" folded: a", FoldedHeader),
        (b"\tfolded", FoldedHeader),
        (b"A: b\0c", BadCharacter),
        (b"A: b\x0bc", BadCharacter),
        (b"A: b\x7fc", BadCharacter),
        (b"A: b\nC: d", BadLineEnd),
        (b"A: b\rC: d", BadLineEnd),
    ];
    for (line, error) in cases {
        let bytes = [b"GET / HTTP/1.1\r\nX: y\r\n", line, b"\r\n\r\n"].concat();
        assert_eq!(RequestHead::parse(&bytes).map(|head| head.len()), Err(error), "{}", line.escape_ascii());
        // The scanner sees no grammar, but it refuses what can't be part of any head.
        let scanned = matches!(error, BadCharacter | BadLineEnd);
        assert_eq!(scan(&bytes, &DEFAULT).is_err(), scanned, "{}", line.escape_ascii());
    }
}

#[test]
fn what_is_not_http_is_refused_at_its_first_bytes() {
    assert_eq!(scan(b"\x16\x03\x01", &DEFAULT), Err(HandshakeError::BadCharacter)); // a TLS ClientHello
    assert_eq!(scan(b"\r\n\r\n", &DEFAULT), Err(HandshakeError::BadStartLine));
    assert_eq!(scan(b"GET / HTTP/1.1\n", &DEFAULT), Err(HandshakeError::BadLineEnd));
    assert_eq!(scan(b"GET / HTTP/1.1\r\r", &DEFAULT), Err(HandshakeError::BadLineEnd));
}

/// An empty line in front of the request line was refused; RFC 9112 2.2 asks servers to pass over at least one.
#[test]
fn an_empty_line_in_front_of_a_request_was_refused() {
    let spaced = [b"\r\n", CHROME].concat();
    assert_eq!(scan(&spaced, &DEFAULT), Ok(Some(spaced.len())));
    let head = RequestHead::parse(&spaced).unwrap();
    assert_eq!((head.len(), head.path(), head.headers().count()), (spaced.len(), "/ws", 8));
    for end in 0..spaced.len() {
        let parsed = RequestHead::parse(&spaced[..end]).map(|h| h.len());
        assert_eq!(parsed, Err(HandshakeError::Truncated), "{end}");
        assert_eq!(scan(&spaced[..end], &DEFAULT), Ok(None), "{end}");
    }
    // It counts as bytes of the head.
    let less = HeadLimits { bytes: spaced.len() - 1, ..DEFAULT };
    assert_eq!(scan(&spaced, &less), Err(HandshakeError::HeadTooLarge));
    for (start, error) in [
        (&b"\r\n\r\n"[..], HandshakeError::BadStartLine),
        (b"\n", HandshakeError::BadLineEnd),
        (b"\r\r\n", HandshakeError::BadLineEnd),
    ] {
        let bytes = [start, CHROME].concat();
        assert_eq!(scan(&bytes, &DEFAULT), Err(error), "{}", start.escape_ascii());
        assert!(RequestHead::parse(&bytes).is_err(), "{}", start.escape_ascii());
    }
}

#[test]
fn an_incomplete_head_is_not_parsed() {
    for end in 0..CHROME.len() {
        assert_eq!(
            RequestHead::parse(&CHROME[..end]).map(|h| h.len()),
            Err(HandshakeError::Truncated),
            "{end}"
        );
        assert_eq!(scan(&CHROME[..end], &DEFAULT), Ok(None), "{end}");
    }
}

#[test]
fn responses() {
    let parse = |text: &'static str| ResponseHead::parse(text.as_bytes());
    let head = parse("HTTP/1.1 404 Not  Found\r\nA: b\r\n\r\nbody").unwrap();
    assert_eq!((head.status(), head.reason(), head.len()), (404, &b"Not  Found"[..], 33));
    assert_eq!(parse("HTTP/1.1 101 \r\n\r\n").unwrap().reason(), b"");
    assert_eq!(parse("HTTP/1.0 101\r\n\r\n").unwrap().status(), 101);
    for bad in [
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 99 x\r\n\r\n",
        "HTTP/1.1 099 x\r\n\r\n",
        "HTTP/1.1 1010\r\n\r\n",
        "HTTP/1.1 1x1\r\n\r\n",
        "HTTP/1.1  101\r\n\r\n",
        "HTTP 1.1 101\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
    ] {
        assert_eq!(parse(bad).map(|head| head.len()), Err(HandshakeError::BadStartLine), "{bad:?}");
    }
}

#[test]
fn byte_limit() {
    let exact = HeadLimits { bytes: CHROME.len(), ..DEFAULT };
    assert_eq!(scan(CHROME, &exact), Ok(Some(CHROME.len())));
    let less = HeadLimits { bytes: CHROME.len() - 1, ..DEFAULT };
    let mut longer = CHROME.to_vec();
    longer.extend_from_slice(&[b'x'; 100]);
    for bytes in [CHROME, &CHROME[..CHROME.len() - 1], &longer] {
        assert_eq!(scan(bytes, &less), Err(HandshakeError::HeadTooLarge));
    }
    assert_eq!(HandshakeError::HeadTooLarge.status(), 431);
    let endless = [b"GET /".to_vec(), vec![b'a'; 17_000]].concat();
    assert_eq!(scan(&endless, &DEFAULT), Err(HandshakeError::TargetTooLong));
    assert_eq!(scan(&endless[..16_383], &DEFAULT), Ok(None));
    assert_eq!(scan(&endless[..16_384], &DEFAULT), Err(HandshakeError::TargetTooLong));
    assert_eq!(HandshakeError::TargetTooLong.status(), 414);
    assert_eq!(scan(b"", &HeadLimits { bytes: 0, headers: 0 }), Err(HandshakeError::TargetTooLong));
}

/// RFC 9112 3 asks for request lines of 8,000 bytes, and a browser's cookies can be as long.
#[test]
fn a_long_request_line_or_many_cookies_were_too_large() {
    let line = format!("GET /?{} HTTP/1.1\r\n", "a".repeat(8_000 - "GET /? HTTP/1.1".len()));
    assert_eq!(line.len(), 8_002);
    let cookie = format!("Cookie: {}\r\n", "c=d; ".repeat(830));
    for (fields, count) in [(cookie.clone(), 1), ("A: b\r\n".repeat(120), 120)] {
        let text = format!("{line}Host: a\r\nUser-Agent: {}\r\n{fields}\r\n", "m".repeat(120));
        assert_eq!(scan(text.as_bytes(), &DEFAULT), Ok(Some(text.len())));
        assert_eq!(RequestHead::parse(text.as_bytes()).unwrap().headers().count(), count + 2);
    }
    let cookies = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", cookie.repeat(3));
    assert!(cookies.len() > 12 * 1024);
    assert_eq!(scan(cookies.as_bytes(), &DEFAULT), Ok(Some(cookies.len())));
}

#[test]
fn from_0_to_2000_headers() {
    for count in (0..=130usize).chain((150..2_000).step_by(50)).chain([1_999, 2_000]) {
        let mut bytes = b"GET / HTTP/1.1\r\n".to_vec();
        (0..count).for_each(|n| bytes.extend_from_slice(format!("h{n}:{n}\r\n").as_bytes()));
        bytes.extend_from_slice(b"\r\n");
        let limits = HeadLimits { bytes: 64 * 1024, headers: 64 };
        let expected = if count <= 64 { Ok(Some(bytes.len())) } else { Err(HandshakeError::TooManyHeaders) };
        assert_eq!(scan(&bytes, &limits), expected, "{count}");
        assert_eq!(scan(&bytes, &HeadLimits { headers: 2_000, ..limits }), Ok(Some(bytes.len())), "{count}");
        assert_eq!(RequestHead::parse(&bytes).unwrap().headers().count(), count);
    }
    assert_eq!(HandshakeError::TooManyHeaders.status(), 431);
}

#[test]
fn the_answer_does_not_depend_on_the_split() {
    let vectors: [&[u8]; 9] = [
        CHROME,
        b"GET / HTTP/1.1\r\n\r\nrest",
        b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: \0\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE:5\r\nF:6\r\nG:7\r\nH:8\r\nI:9\r\n\r\n",
        b"\r\nGET / HTTP/1.1\r\n\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n",
    ];
    for limits in [DEFAULT, HeadLimits { bytes: 60, headers: 8 }, HeadLimits { bytes: 17, headers: 0 }] {
        for vector in vectors {
            let whole = scan(vector, &limits);
            for cut in 0..=vector.len() {
                assert_eq!(scan_cut(vector, &[cut], &limits), whole, "{} at {cut}", vector.escape_ascii());
            }
            let all: Vec<_> = (0..=vector.len()).collect();
            assert_eq!(scan_cut(vector, &all, &limits), whole, "{} bytewise", vector.escape_ascii());
        }
    }
}

/// Class A: bytes that were scanned are never read again, so N bytes cost N steps however they arrive. The test spoils
/// them after they were scanned: a scanner that read them again would fail.
#[test]
fn no_byte_is_scanned_twice() {
    for len in [1_000usize, 8_000, 64_000] {
        let limits = HeadLimits { bytes: len + 100, headers: 64 };
        let mut bytes = b"GET / HTTP/1.1\r\nA: ".to_vec();
        bytes.resize(len, b'a');
        bytes.extend_from_slice(b"\r\n\r\n");
        let mut scanner = HeadScanner::new();
        for end in 1..bytes.len() {
            assert_eq!(scanner.scan(&bytes[..end], &limits), Ok(None));
            assert_eq!(scanner.scanned(), end);
            bytes[end - 1] = 0;
        }
        assert_eq!(scanner.scan(&bytes, &limits), Ok(Some(bytes.len())));
    }
}

#[test]
fn a_scanner_keeps_its_answer() {
    let mut scanner = HeadScanner::new();
    assert_eq!(scanner.scan(CHROME, &DEFAULT), Ok(Some(CHROME.len())));
    assert_eq!(scanner.scan(CHROME, &DEFAULT), Ok(Some(CHROME.len())));
    // Also where what follows could be taken for a head of its own.
    let mut scanner = HeadScanner::new();
    let spaced = b"\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    assert_eq!(scanner.scan(&spaced[..4], &DEFAULT), Err(HandshakeError::BadStartLine));
    assert_eq!(scanner.scan(spaced, &DEFAULT), Err(HandshakeError::BadStartLine));
    let mut scanner = HeadScanner::new();
    let tight = HeadLimits { bytes: 4, ..DEFAULT };
    assert_eq!(scanner.scan(CHROME, &tight), Err(HandshakeError::TargetTooLong));
    assert_eq!(scanner.scan(CHROME, &DEFAULT), Err(HandshakeError::TargetTooLong));
    let mut scanner = HeadScanner::new();
    assert_eq!(scanner.scan(b"GET / HTTP/1.1\0", &DEFAULT), Err(HandshakeError::BadCharacter));
    assert_eq!(scanner.scan(b"GET / HTTP/1.1\0\r\n\r\n", &DEFAULT), Err(HandshakeError::BadCharacter));
}

/// Class D: every byte at every place of a head, without a panic; heads that pass are walked to their end.
#[test]
fn any_byte_anywhere() {
    for at in 0..CHROME.len() {
        for byte in 0..=255 {
            let mut bytes = CHROME.to_vec();
            bytes[at] = byte;
            let scanned = scan(&bytes, &DEFAULT);
            if let Ok(head) = RequestHead::parse(&bytes) {
                assert_eq!(scanned, Ok(Some(head.len())));
                assert!(head.headers().count() <= 10 && head.path().len() <= head.target().len());
            }
            let _ = ResponseHead::parse(&bytes);
        }
    }
}

/// A request that an HTTP library had read could not be looked at: it had to be written again to be parsed.
#[cfg(feature = "std")]
#[test]
fn a_request_that_was_read_had_to_be_written_to_be_read_again() {
    let parsed = RequestHead::parse(CHROME).unwrap();
    let headers: Vec<_> =
        parsed.headers().map(|header| Header::new(header.name(), header.value()).unwrap()).collect();
    let head = RequestHead::of_parts(parsed.method(), parsed.target(), parsed.version(), &headers).unwrap();
    assert_eq!((head.method(), head.path(), head.query()), ("GET", "/ws", Some("room=7&x=%20")));
    let fields =
        |head: &RequestHead<'_>| head.headers().map(|field| format!("{field:?}")).collect::<Vec<_>>();
    assert_eq!(fields(&head), fields(&parsed));
    assert_eq!(head.header("x-twice"), Some(&b"1"[..]));
    // What libraries let pass and a request must not have.
    let of = |method, target, minor| {
        RequestHead::of_parts(method, target, HttpVersion { major: 1, minor }, &[]).map(|_| ())
    };
    assert_eq!(of("GET", "/", 1), Ok(()));
    assert_eq!(of("GET", "/", 2), Err(HandshakeError::Version));
    for target in ["", "/a b", "/\"", "/#", "/caf\u{e9}", "/<"] {
        assert_eq!(of("GET", target, 1), Err(HandshakeError::BadTarget), "{target}");
    }
    for method in ["", "G T", "G\u{e9}T"] {
        assert_eq!(of(method, "/", 1), Err(HandshakeError::BadStartLine), "{method}");
    }
    assert_eq!(Header::new("X", b" \ta\xe9 ").unwrap().value(), b"a\xe9");
    for (name, value, error) in [
        ("", &b"x"[..], HandshakeError::BadHeaderName),
        ("a b", b"x", HandshakeError::BadHeaderName),
        ("a:", b"x", HandshakeError::BadHeaderName),
        ("a", b"x\r\ny", HandshakeError::BadCharacter),
        ("a", b"\0", HandshakeError::BadCharacter),
    ] {
        assert_eq!(Header::new(name, value).map(|_| ()), Err(error), "{name}");
    }
}
