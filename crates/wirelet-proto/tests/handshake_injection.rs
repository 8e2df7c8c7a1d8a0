//! Class K: nothing that the caller hands over can become a header, a line or a request of its own.

use wirelet_proto::handshake::{
    AcceptOptions, ClientHandshake, Field, MAX_SUBPROTOCOLS, Rejection, RequestHead, RequestOptions,
    UpgradeRequest, WriteError,
};

/// What no field may hold, and each at the beginning, in the middle and at the end.
fn poisons() -> Vec<String> {
    everywhere(&["\r\nX-Evil: 1", "\r", "\n", "\0", "\x01", "\x1f", "\x7f"])
}

/// What only values may hold.
fn beyond_ascii() -> Vec<String> {
    everywhere(&["\u{80}", "\u{e9}", "\u{2028}", "\u{10ffff}"])
}

fn everywhere(bad: &[&str]) -> Vec<String> {
    bad.iter().flat_map(|bad| [format!("{bad}abc"), format!("a{bad}bc"), format!("abc{bad}")]).collect()
}

/// Whether the writer refuses with that error and leaves the buffer alone.
fn refuses(write: impl Fn(&mut [u8]) -> Result<usize, WriteError>, error: WriteError, what: &str) {
    for size in [0, 1_024] {
        let mut out = vec![0xee; size];
        assert_eq!(write(&mut out), Err(error), "{what:?}");
        assert!(out.iter().all(|byte| *byte == 0xee), "{what:?}: a byte was written");
    }
}

fn request_refused(options: RequestOptions<'_>, error: WriteError, what: &str) {
    refuses(|out| ClientHandshake::new([1; 16], options).write_request(out), error, what);
}

const PLAIN: RequestOptions<'static> = RequestOptions::new("h", "/");

#[test]
fn every_field_of_a_request() {
    for text in &poisons() {
        let text = text.as_str();
        let target = format!("/{text}");
        let invalid = WriteError::Invalid;
        request_refused(RequestOptions { host: text, ..PLAIN }, invalid(Field::Host), text);
        request_refused(RequestOptions { target: &target, ..PLAIN }, invalid(Field::Target), text);
        request_refused(
            RequestOptions { subprotocols: &["a", text], ..PLAIN },
            invalid(Field::Subprotocol),
            text,
        );
        request_refused(RequestOptions { extensions: Some(text), ..PLAIN }, invalid(Field::Extensions), text);
        request_refused(RequestOptions { origin: Some(text), ..PLAIN }, invalid(Field::Origin), text);
        request_refused(RequestOptions { user_agent: Some(text), ..PLAIN }, invalid(Field::UserAgent), text);
        request_refused(
            RequestOptions { authorization: Some(text), ..PLAIN },
            invalid(Field::Authorization),
            text,
        );
        request_refused(
            RequestOptions { headers: &[(text, "v")], ..PLAIN },
            invalid(Field::HeaderName),
            text,
        );
        request_refused(
            RequestOptions { headers: &[("N", text)], ..PLAIN },
            invalid(Field::HeaderValue),
            text,
        );
    }
}

/// A value with UTF-8 in it was refused; RFC 9110 5.5 has it pass as it is.
#[test]
fn a_value_beyond_ascii_was_refused() {
    let bytes = good_request();
    let server = UpgradeRequest::verify(RequestHead::parse(&bytes).unwrap()).unwrap();
    for text in &beyond_ascii() {
        let text = text.as_str();
        let invalid = WriteError::Invalid;
        let target = format!("/{text}");
        let refused: [(RequestOptions<'_>, Field); 5] = [
            (RequestOptions { host: text, ..PLAIN }, Field::Host),
            (RequestOptions { target: &target, ..PLAIN }, Field::Target),
            (RequestOptions { subprotocols: &[text], ..PLAIN }, Field::Subprotocol),
            (RequestOptions { extensions: Some(text), ..PLAIN }, Field::Extensions),
            (RequestOptions { origin: Some(text), ..PLAIN }, Field::Origin),
        ];
        for (options, field) in refused {
            request_refused(options, invalid(field), text);
        }
        request_refused(
            RequestOptions { headers: &[(text, "v")], ..PLAIN },
            invalid(Field::HeaderName),
            text,
        );
        let line = format!("\r\nN: {text}\r\n");
        let has = |out: &[u8], line: &str| out.windows(line.len()).any(|bytes| bytes == line.as_bytes());
        let mut out = [0; 512];
        let headers = &[("N", text)];
        let all = RequestOptions { user_agent: Some(text), authorization: Some(text), headers, ..PLAIN };
        let len = ClientHandshake::new([1; 16], all).write_request(&mut out).unwrap();
        for name in ["N", "User-Agent", "Authorization"] {
            assert!(has(&out[..len], &format!("\r\n{name}: {text}\r\n")), "{name} {text}");
        }
        assert_eq!(RequestHead::parse(&out[..len]).unwrap().header("N"), Some(text.as_bytes()));
        let len = server.accept(&AcceptOptions { headers, ..Default::default() }, &mut out).unwrap();
        assert!(has(&out[..len], &line));
        let len = Rejection { headers, ..Rejection::new(403) }.write(&mut out).unwrap();
        assert!(has(&out[..len], &line));
    }
}

#[test]
fn what_the_grammar_of_a_field_forbids() {
    let invalid = WriteError::Invalid;
    for host in
        ["", "a b", "a/b", "u@a", "a:b", "a:65536", "a:0", "[::1", "::1", "[x::1]", "a,b?", "a#", "a\\b"]
    {
        request_refused(RequestOptions { host, ..PLAIN }, invalid(Field::Host), host);
    }
    for target in ["a", "/a b", "/a#b", "/ HTTP/1.1", "http://a/", "*", " /", "/\t", "/\"", "/?a=<", "/>"] {
        request_refused(RequestOptions { target, ..PLAIN }, invalid(Field::Target), target);
    }
    for name in ["", "a b", "a,b", "a;b", "\"a\"", "a/b", "(a)"] {
        request_refused(RequestOptions { subprotocols: &[name], ..PLAIN }, invalid(Field::Subprotocol), name);
    }
    request_refused(
        RequestOptions { subprotocols: &["a", "b", "a"], ..PLAIN },
        invalid(Field::Subprotocol),
        "twice",
    );
    let many: Vec<String> = (0..=MAX_SUBPROTOCOLS).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    request_refused(RequestOptions { subprotocols: &many, ..PLAIN }, invalid(Field::Subprotocol), "too many");
    for extensions in ["", ",", "a;", "a;b=\"", "a b"] {
        request_refused(
            RequestOptions { extensions: Some(extensions), ..PLAIN },
            invalid(Field::Extensions),
            extensions,
        );
    }
    for name in ["", "a b", "a:", "Host ", "a\tb"] {
        request_refused(
            RequestOptions { headers: &[(name, "v")], ..PLAIN },
            invalid(Field::HeaderName),
            name,
        );
    }
}

#[test]
fn headers_that_the_handshake_writes_itself() {
    let reserved = [
        "Host",
        "host",
        "UPGRADE",
        "Connection",
        "Content-Length",
        "Transfer-Encoding",
        "Sec-WebSocket-Key",
        "sec-websocket-accept",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-",
        "Sec-WebSocket-Anything",
    ];
    let bytes = good_request();
    let server = UpgradeRequest::verify(RequestHead::parse(&bytes).unwrap()).unwrap();
    for name in reserved {
        let headers = &[("A", "b"), (name, "v")];
        request_refused(RequestOptions { headers, ..PLAIN }, WriteError::ReservedHeader, name);
        let options = AcceptOptions { headers, ..Default::default() };
        refuses(|out| server.accept(&options, out), WriteError::ReservedHeader, name);
        let rejection = Rejection { headers, ..Rejection::new(403) };
        refuses(|out| rejection.write(out), WriteError::ReservedHeader, name);
    }
    for (options, name) in [
        (RequestOptions { origin: Some("o"), ..PLAIN }, "origin"),
        (RequestOptions { user_agent: Some("u"), ..PLAIN }, "USER-AGENT"),
        (RequestOptions { authorization: Some("a"), ..PLAIN }, "Authorization"),
    ] {
        request_refused(
            RequestOptions { headers: &[(name, "v")], ..options },
            WriteError::ReservedHeader,
            name,
        );
        let alone = RequestOptions { headers: &[(name, "v")], ..PLAIN };
        assert!(ClientHandshake::new([1; 16], alone).write_request(&mut [0; 512]).is_ok(), "{name}");
    }
}

#[test]
fn every_field_of_an_acceptance() {
    let bytes = good_request();
    let server = UpgradeRequest::verify(RequestHead::parse(&bytes).unwrap()).unwrap();
    let refused = |options: AcceptOptions<'_>, error, what: &str| {
        refuses(|out| server.accept(&options, out), error, what)
    };
    for text in &poisons() {
        let text = text.as_str();
        let none = AcceptOptions::default();
        let invalid = WriteError::Invalid;
        refused(AcceptOptions { subprotocol: Some(text), ..none }, WriteError::SubprotocolNotOffered, text);
        refused(AcceptOptions { extensions: Some(text), ..none }, invalid(Field::Extensions), text);
        refused(AcceptOptions { headers: &[(text, "v")], ..none }, invalid(Field::HeaderName), text);
        refused(AcceptOptions { headers: &[("N", text)], ..none }, invalid(Field::HeaderValue), text);
    }
}

#[test]
fn every_field_of_a_rejection() {
    for text in &poisons() {
        let name = Rejection { headers: &[(text, "v")], ..Rejection::new(403) };
        refuses(|out| name.write(out), WriteError::Invalid(Field::HeaderName), text);
        let value = Rejection { headers: &[("N", text)], ..Rejection::new(403) };
        refuses(|out| value.write(out), WriteError::Invalid(Field::HeaderValue), text);
    }
    refuses(|out| Rejection::new(200).write(out), WriteError::Invalid(Field::Status), "200");
    // The body is the body: whatever is in it, its length is told.
    let mut out = [0; 256];
    let len =
        Rejection { body: b"\r\n\r\nHTTP/1.1 200 OK\0", ..Rejection::new(403) }.write(&mut out).unwrap();
    assert!(std::str::from_utf8(&out[..len]).unwrap().contains("Content-Length: 20\r\n\r\n"));
}

#[test]
fn errors_read_as_one_line() {
    let fields = [
        Field::Host,
        Field::Target,
        Field::Subprotocol,
        Field::Extensions,
        Field::Origin,
        Field::UserAgent,
        Field::Authorization,
        Field::HeaderName,
        Field::HeaderValue,
        Field::Status,
    ];
    let errors = fields.map(WriteError::Invalid);
    let texts: std::collections::BTreeSet<String> = errors
        .iter()
        .chain(&[WriteError::BufferTooSmall { needed: 3 }, WriteError::ReservedHeader])
        .chain(&[WriteError::SubprotocolNotOffered, WriteError::ExtensionNotOffered])
        .map(ToString::to_string)
        .collect();
    assert_eq!(texts.len(), fields.len() + 4);
    assert!(texts.iter().all(|text| !text.is_empty() && !text.contains('\n')));
}

fn good_request() -> Vec<u8> {
    let mut out = vec![0; 512];
    let options = RequestOptions { subprotocols: &["chat"], extensions: Some("x"), ..PLAIN };
    let len = ClientHandshake::new([1; 16], options).write_request(&mut out).unwrap();
    out.truncate(len);
    out
}
