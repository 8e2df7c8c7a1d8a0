//! The client's opening handshake: the request, every answer that is no acceptance, and refusals (RFC 6455 4.1).

use wirelet_proto::handshake::{
    AcceptOptions, Answer, BodyLength, ClientHandshake, HandshakeError, HeadLimits, MAX_INTERIM_RESPONSES,
    Rejection, RequestHead, RequestOptions, UpgradeRequest,
};

const NONCE: [u8; 16] = *b"the sample nonce";
const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const LINES: [&str; 3] = ["Upgrade: websocket", "Connection: Upgrade", ACCEPT];
const LIMITS: HeadLimits = HeadLimits::DEFAULT;

const OPTIONS: RequestOptions<'static> = RequestOptions {
    subprotocols: &["chat", "superchat"],
    extensions: Some("permessage-deflate; client_max_window_bits, x"),
    ..RequestOptions::new("server.example.com", "/chat")
};

fn client(options: RequestOptions<'_>) -> ClientHandshake<'_> {
    ClientHandshake::new(NONCE, options)
}

fn response(line: &str, headers: &[&str]) -> String {
    format!("{line}\r\n{}\r\n\r\n", headers.join("\r\n"))
}

/// A good response with the line of the same name replaced.
fn with(line: &str) -> String {
    let name = |line: &str| line.split_once(':').map(|(name, _)| name.to_ascii_lowercase());
    let kept = LINES.iter().copied().filter(|good| name(good) != name(line));
    response("HTTP/1.1 101 Switching Protocols", &kept.chain([line]).collect::<Vec<_>>())
}

/// A good response with lines added.
fn plus(lines: &[&str]) -> String {
    response("HTTP/1.1 101 Switching Protocols", &[&LINES[..], lines].concat())
}

/// A good response without the line of that name.
fn without(name: &str) -> String {
    let kept: Vec<_> = LINES.iter().copied().filter(|line| !line.starts_with(name)).collect();
    assert_eq!(kept.len(), 2);
    response("HTTP/1.1 101 Switching Protocols", &kept)
}

/// What an answer comes to, in a form that can be compared.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Accepted { len: usize, subprotocol: Option<String>, extensions: usize },
    Refused { len: usize, status: u16, body: BodyLength, location: Option<Vec<u8>> },
}

fn outcome(answer: Answer<'_>) -> Outcome {
    match answer {
        Answer::Accepted(accepted) => Outcome::Accepted {
            len: accepted.len(),
            subprotocol: accepted.subprotocol().map(str::to_owned),
            extensions: accepted.extensions().count(),
        },
        Answer::Refused(refusal) => Outcome::Refused {
            len: refusal.len(),
            status: refusal.head().status(),
            body: refusal.body_length(),
            location: refusal.location().map(<[u8]>::to_vec),
        },
    }
}

fn read(bytes: &[u8], limits: &HeadLimits) -> Result<Option<Outcome>, HandshakeError> {
    Ok(client(OPTIONS).read_response(&mut bytes.to_vec(), limits)?.map(outcome))
}

/// As a driver reads: into one buffer, of which the client sees more each time.
fn read_cut(bytes: &[u8], cuts: &[usize], limits: &HeadLimits) -> Result<Option<Outcome>, HandshakeError> {
    let (mut client, mut bytes) = (client(OPTIONS), bytes.to_vec());
    for cut in cuts {
        if let Some(answer) = client.read_response(&mut bytes[..*cut], limits)? {
            return Ok(Some(outcome(answer)));
        }
    }
    Ok(client.read_response(&mut bytes, limits)?.map(outcome))
}

fn error(text: &str) -> Option<HandshakeError> {
    read(text.as_bytes(), &LIMITS).err()
}

fn written(options: RequestOptions<'_>) -> String {
    let mut out = [0; 2048];
    let len = client(options).write_request(&mut out).unwrap();
    String::from_utf8(out[..len].to_vec()).unwrap()
}

#[test]
fn the_smallest_request() {
    assert_eq!(
        written(RequestOptions::new("server.example.com", "/chat")),
        "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    for (target, line) in [("", "GET / "), ("?a=1", "GET /?a=1 "), ("/?a", "GET /?a "), ("/", "GET / ")] {
        assert!(written(RequestOptions::new("h", target)).starts_with(line), "{target:?}");
    }
}

#[test]
fn the_largest_request() {
    let text = written(RequestOptions {
        origin: Some("http://example.com"),
        user_agent: Some("wirelet"),
        authorization: Some("Basic YTpi"),
        headers: &[("Cookie", "a=b"), ("X-Y", "")],
        ..OPTIONS
    });
    let tail = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, superchat\r\n\
        Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x\r\nOrigin: http://example.com\r\n\
        User-Agent: wirelet\r\nAuthorization: Basic YTpi\r\nCookie: a=b\r\nX-Y: \r\n\r\n";
    assert!(text.ends_with(tail), "{text}");
}

#[test]
fn client_and_server_agree() {
    for n in 0..=255u8 {
        let nonce = core::array::from_fn(|at| n.wrapping_mul(31).wrapping_add((at as u8).wrapping_mul(n)));
        let mut client = ClientHandshake::new(nonce, OPTIONS);
        let (mut request, mut reply) = ([0; 1024], [0; 1024]);
        let len = client.write_request(&mut request).unwrap();
        let server = UpgradeRequest::verify(RequestHead::parse(&request[..len]).unwrap()).unwrap();
        assert_eq!((server.host(), server.head().len()), (OPTIONS.host, len));
        let supported = ["mqtt", "superchat"];
        let subprotocol = server.select_subprotocol(&supported).map(|index| supported[index]);
        let options = AcceptOptions {
            subprotocol,
            extensions: Some("permessage-deflate"),
            headers: &[("Server", "w")],
        };
        let len = server.accept(&options, &mut reply).unwrap();
        let answer = client.read_response(&mut reply, &LIMITS).unwrap().map(outcome);
        let accepted = Outcome::Accepted { len, subprotocol: Some("superchat".to_owned()), extensions: 1 };
        assert_eq!(answer, Some(accepted));
        // The same response is nobody else's.
        let other = ClientHandshake::new([n; 16], OPTIONS).read_response(&mut reply, &LIMITS).map(|_| ());
        assert_eq!(other, if nonce == [n; 16] { Ok(()) } else { Err(HandshakeError::Accept) });
    }
}

#[test]
fn legal_forms_are_accepted() {
    for text in [
        plus(&[]),
        response("HTTP/1.1 101 ", &LINES),
        response("HTTP/1.1 101", &LINES),
        response("HTTP/1.1 101 Web Socket Protocol Handshake", &LINES),
        with("upgrade: WebSocket"),
        with("Connection: keep-alive, UPGRADE"),
        with("sec-websocket-accept:s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        with("Sec-WebSocket-Accept: \t s3pPLMBiTxaQ9kYGzzhZRbK+xOo= \t"),
        plus(&["Sec-WebSocket-Protocol: chat"]),
        plus(&["Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover"]),
        plus(&["Content-Length: 0", "Date: today"]),
        plus(&["Connection: close"]),
    ] {
        let accepted = matches!(read(text.as_bytes(), &LIMITS), Ok(Some(Outcome::Accepted { len, .. })) if len == text.len());
        assert!(accepted, "{text} {:?}", read(text.as_bytes(), &LIMITS));
    }
}

#[test]
fn what_is_no_acceptance() {
    use HandshakeError as E;
    let mut cases = vec![
        (response("HTTP/1.0 101 Switching Protocols", &LINES), E::Version),
        (without("Upgrade"), E::ResponseUpgrade),
        (with("Upgrade: h2c"), E::ResponseUpgrade),
        (with("Upgrade: websocket, h2c"), E::ResponseUpgrade),
        (with("Upgrade:"), E::ResponseUpgrade),
        (without("Connection"), E::ResponseConnection),
        (with("Connection: close"), E::ResponseConnection),
        (with("Connection: \"Upgrade\""), E::ResponseConnection),
        (without("Sec-WebSocket-Accept"), E::Accept),
        (plus(&[ACCEPT]), E::Accept),
        (with("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=="), E::Accept),
        (with("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=, x"), E::Accept),
        (with("Sec-WebSocket-Accept: S3PPLMBITXAQ9KYGZZHZRBK+XOO="), E::Accept),
        (with("Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ=="), E::Accept),
        (plus(&["Sec-WebSocket-Protocol: mqtt"]), E::UnrequestedSubprotocol),
        (plus(&["Sec-WebSocket-Protocol: Chat"]), E::UnrequestedSubprotocol),
        (plus(&["Sec-WebSocket-Protocol: cha"]), E::UnrequestedSubprotocol),
        (plus(&["Sec-WebSocket-Protocol:"]), E::UnrequestedSubprotocol),
        (plus(&["Sec-WebSocket-Protocol: chat, superchat"]), E::UnrequestedSubprotocol),
        (plus(&["Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: chat"]), E::UnrequestedSubprotocol),
        (plus(&["Sec-WebSocket-Extensions: y"]), E::UnrequestedExtension),
        (plus(&["Sec-WebSocket-Extensions: x, y"]), E::UnrequestedExtension),
        (plus(&["Sec-WebSocket-Extensions: x", "Sec-WebSocket-Extensions: y"]), E::UnrequestedExtension),
        (plus(&["Sec-WebSocket-Extensions: x;"]), E::Extensions),
        (plus(&["Sec-WebSocket-Extensions:"]), E::Extensions),
        (plus(&["No-Colon"]), E::BadHeaderName),
        (response("HTTP/1.1 101", &[&[" folded: a"], &LINES[..]].concat()), E::FoldedHeader),
        (plus(&["A: b\0"]), E::BadCharacter),
        (plus(&["A: b\nC: d"]), E::BadLineEnd),
        ("\x01\x02".to_owned(), E::NotHttp),
        ("HTTP 1.1 101\r\n\r\n".to_owned(), E::NotHttp),
        ("HTTP/11 101\r\n\r\n".to_owned(), E::BadStartLine),
    ];
    // An Accept that is empty, and every prefix of the right one.
    let right = &ACCEPT["Sec-WebSocket-Accept: ".len()..];
    (0..right.len())
        .for_each(|end| cases.push((with(&format!("Sec-WebSocket-Accept: {}", &right[..end])), E::Accept)));
    for (text, expected) in &cases {
        assert_eq!(error(text), Some(*expected), "{text}");
        assert!(!expected.to_string().is_empty() && !expected.rfc_section().is_empty());
    }
    // Without any request for one, every subprotocol and every extension is too much.
    let plain = RequestOptions::new("h", "/");
    for (line, expected) in [
        ("Sec-WebSocket-Protocol: chat", E::UnrequestedSubprotocol),
        ("Sec-WebSocket-Extensions: permessage-deflate", E::UnrequestedExtension),
    ] {
        assert_eq!(
            client(plain).read_response(&mut plus(&[line]).into_bytes(), &LIMITS).err(),
            Some(expected),
            "{line}"
        );
    }
}

#[test]
fn refusals_are_reported() {
    let cases = [
        ("200 OK", vec![LINES[0], LINES[1], LINES[2]], BodyLength::UntilClose, None),
        (
            "401 Unauthorized",
            vec!["WWW-Authenticate: Basic", "Content-Length: 12"],
            BodyLength::Bytes(12),
            None,
        ),
        (
            "404 Not Found",
            vec!["Transfer-Encoding: gzip, Chunked", "Content-Length: 3"],
            BodyLength::Chunked,
            None,
        ),
        ("503 Busy", vec!["Transfer-Encoding: gzip"], BodyLength::UntilClose, None),
        ("503 Busy", vec!["Content-Length: 18446744073709551615"], BodyLength::Bytes(u64::MAX), None),
        ("204 No Content", vec!["A: b"], BodyLength::Bytes(0), None),
        ("304 Not Modified", vec!["Content-Length: 5", "Location: /x"], BodyLength::Bytes(0), None),
        ("404 Not Found", vec!["Location: /x"], BodyLength::UntilClose, None),
        ("301 Moved", vec!["Location: wss://a/b"], BodyLength::UntilClose, Some("wss://a/b")),
        ("302 Found", vec!["location: /b", "Content-Length: 0"], BodyLength::Bytes(0), Some("/b")),
        ("303 See Other", vec!["Location: b"], BodyLength::UntilClose, Some("b")),
        ("307 Temporary", vec!["Location: b"], BodyLength::UntilClose, Some("b")),
        ("308 Permanent", vec!["Location: b"], BodyLength::UntilClose, Some("b")),
        ("308 Permanent", vec!["A: b"], BodyLength::UntilClose, None),
    ];
    for (line, headers, body, location) in cases {
        let head = response(&format!("HTTP/1.1 {line}"), &headers);
        let text = format!("{head}the body");
        let status = line[..3].parse().unwrap();
        let location = location.map(|text: &str| text.as_bytes().to_vec());
        let expected = Outcome::Refused { len: head.len(), status, body, location };
        assert_eq!(read(text.as_bytes(), &LIMITS), Ok(Some(expected)), "{text}");
    }
    for lengths in
        [vec!["Content-Length: x"], vec!["Content-Length: 1", "Content-Length: 1"], vec!["Content-Length:"]]
    {
        let text = response("HTTP/1.1 500 Oops", &lengths);
        assert_eq!(error(&text), Some(HandshakeError::BadContentLength), "{text}");
    }
}

#[test]
fn what_the_server_rejects_the_client_reports() {
    let mut out = [0; 512];
    let rejection = Rejection { status: 429, headers: &[("Retry-After", "7")], body: b"later" };
    let len = rejection.write(&mut out).unwrap();
    let mut client = client(OPTIONS);
    let Ok(Some(Answer::Refused(refusal))) = client.read_response(&mut out[..len], &LIMITS) else { panic!() };
    assert_eq!((refusal.head().status(), refusal.head().header("retry-after")), (429, Some(&b"7"[..])));
    assert_eq!(refusal.body_length(), BodyLength::Bytes(5));
    assert_eq!(refusal.rest(), b"later");
}

/// A folded header line failed the connection; RFC 9112 5.2 has a client read it as one with spaces.
#[test]
fn a_folded_header_line_failed_the_client() {
    let folded = |text: &str| {
        let mut bytes = plus(&[text]).into_bytes();
        let len = bytes.len();
        let mut client = client(OPTIONS);
        let Some(Answer::Accepted(accepted)) = client.read_response(&mut bytes, &LIMITS)? else { panic!() };
        assert_eq!(accepted.len(), len);
        let name = text.split(':').next().unwrap();
        Ok::<_, HandshakeError>(accepted.head().header(name).unwrap().to_vec())
    };
    for (text, value) in [
        ("A: b\r\n c", "b   c"),
        ("A: b\r\n\tc", "b   c"),
        ("A: b \t\r\n\t c", "b      c"),
        ("A:\r\n b", "b"),
        ("A: b\r\n ", "b"),
        ("A: b\r\n \r\n c", "b      c"),
        ("A: b\r\n c: d", "b   c: d"),
        ("A: b\tc\r\n d", "b\tc   d"),
        ("Sec-WebSocket-Protocol:\r\n chat", "chat"),
    ] {
        assert_eq!(folded(text).as_deref(), Ok(value.as_bytes()), "{text:?}");
        let whole = read(plus(&[text]).as_bytes(), &LIMITS);
        for cut in 0..plus(&[text]).len() {
            assert_eq!(read_cut(plus(&[text]).as_bytes(), &[cut], &LIMITS), whole, "{text:?} at {cut}");
        }
    }
    // Its parts are parts of one line, whatever they look like.
    let hidden = plus(&["A: b\r\n Sec-WebSocket-Extensions: y"]);
    assert!(matches!(read(hidden.as_bytes(), &LIMITS), Ok(Some(Outcome::Accepted { extensions: 0, .. }))));
    let accept = with("Sec-WebSocket-Accept:\r\n\ts3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert!(matches!(read(accept.as_bytes(), &LIMITS), Ok(Some(Outcome::Accepted { .. }))));
    for (bad, error) in [
        ("A: b\n c", HandshakeError::BadLineEnd),
        ("A: b\r c", HandshakeError::BadLineEnd),
        ("A\r\n : b", HandshakeError::BadHeaderName),
        ("A: b\r\n\0", HandshakeError::BadCharacter),
    ] {
        assert_eq!(folded(bad), Err(error), "{bad:?}");
    }
    // Frames behind the head are not touched, nor is a body.
    let mut bytes = [plus(&["A: b\r\n c"]).as_bytes(), b"\r\n \r\n\t"].concat();
    let mut client = client(OPTIONS);
    let Ok(Some(Answer::Accepted(accepted))) = client.read_response(&mut bytes, &LIMITS) else { panic!() };
    assert_eq!(accepted.rest(), b"\r\n \r\n\t");
}

/// A server of another protocol was waited for until it ended the connection, and was said to have given no answer.
#[test]
fn an_answer_of_another_protocol_was_waited_for() {
    for text in [
        "SSH-2.0-OpenSSH_9.6\r\n",
        "220 mail.example ESMTP\r\n",
        "+OK ready\r\n",
        "RFB 003.008\n",
        "\x15\x03\x01\x00\x02\x02\x46",
        "\r\nHTTP/1.1 101\r\n",
        "http/1.1 101\r\n",
        "HTTPS",
        "ICY 200 OK\r\n",
        "<html>",
        "\u{81}",
    ] {
        let mut client = client(OPTIONS);
        let mut bytes = text.as_bytes().to_vec();
        let differs = bytes.iter().zip(b"HTTP/").position(|(a, b)| a != b).unwrap();
        for end in 0..=bytes.len() {
            let expected = if end > differs { Err(HandshakeError::NotHttp) } else { Ok(None) };
            assert_eq!(
                client.read_response(&mut bytes[..end], &LIMITS).map(|a| a.map(outcome)),
                expected,
                "{text:?}"
            );
        }
    }
    // Behind an interim response too.
    let text = "HTTP/1.1 100 Continue\r\n\r\nSSH";
    assert_eq!(read(text.as_bytes(), &LIMITS), Err(HandshakeError::NotHttp));
}

#[test]
fn interim_responses_are_passed_over() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let with_interim = |count: usize| early.repeat(count) + &plus(&[]) + "\u{81}";
    for count in [0, 1, 2, usize::from(MAX_INTERIM_RESPONSES)] {
        let text = with_interim(count);
        let Ok(Some(Outcome::Accepted { len, .. })) = read(text.as_bytes(), &LIMITS) else {
            panic!("{count}")
        };
        assert_eq!(&text[len..], "\u{81}");
    }
    let text = with_interim(usize::from(MAX_INTERIM_RESPONSES) + 1);
    assert_eq!(error(&text), Some(HandshakeError::TooManyInterimResponses));
    // The limit on bytes holds for all heads together.
    let limits = HeadLimits { bytes: early.len() + 10, ..LIMITS };
    assert_eq!(read(with_interim(1).as_bytes(), &limits), Err(HandshakeError::HeadTooLarge));
    let limits = HeadLimits { bytes: early.len(), ..LIMITS };
    assert_eq!(read(early.as_bytes(), &limits), Err(HandshakeError::HeadTooLarge));
}

#[test]
fn limits() {
    let many = plus(&vec!["A: b"; 126]);
    assert_eq!(error(&many), Some(HandshakeError::TooManyHeaders));
    let long = format!("HTTP/1.1 101 {}", "x".repeat(17_000));
    assert_eq!(error(&long), Some(HandshakeError::HeadTooLarge));
    let large = plus(&[&format!("A: {}", "x".repeat(17_000))]);
    assert_eq!(error(&large), Some(HandshakeError::HeadTooLarge));
}

#[test]
fn the_answer_does_not_depend_on_the_split() {
    let vectors = [
        plus(&["Sec-WebSocket-Protocol: chat"]) + "\u{1}frames",
        "HTTP/1.1 100 Continue\r\n\r\n".repeat(2) + &plus(&[]),
        with("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xO"),
        plus(&["Sec-WebSocket-Extensions: y"]),
        response("HTTP/1.1 302 Found", &["Location: /b", "Content-Length: 4"]) + "body",
        "HTTP/1.1 100 Continue\r\n\r\n".repeat(9),
        "HTTP/1.1 101\r\nA: b\nC: d\r\n\r\n".to_owned(),
        plus(&[])[..100].to_owned(),
        plus(&["A: b\r\n c", "Sec-WebSocket-Protocol: \r\n\tchat"]) + "\u{1}\r\n frames",
        "SSH-2.0".to_owned(),
    ];
    for limits in [LIMITS, HeadLimits { bytes: 90, headers: 2 }] {
        for vector in &vectors {
            let whole = read(vector.as_bytes(), &limits);
            let all: Vec<_> = (0..=vector.len()).collect();
            assert_eq!(read_cut(vector.as_bytes(), &all, &limits), whole, "{vector} bytewise");
            for cut in all {
                assert_eq!(read_cut(vector.as_bytes(), &[cut], &limits), whole, "{vector} at {cut}");
            }
        }
    }
}

#[test]
fn a_complete_answer_is_given_again() {
    let text = "HTTP/1.1 100 Continue\r\n\r\n".to_owned() + &plus(&[]);
    let mut client = client(OPTIONS);
    let mut bytes = text.into_bytes();
    let first = client.read_response(&mut bytes, &LIMITS).unwrap().map(outcome);
    assert_eq!(client.read_response(&mut bytes, &LIMITS).unwrap().map(outcome), first);
    assert!(first.is_some());
}

/// Class D: any byte at any place of a good answer, without a panic.
#[test]
fn any_byte_anywhere() {
    let good = "HTTP/1.1 100 Continue\r\n\r\n".to_owned()
        + &plus(&["Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Extensions: x; a=\"b\\c\""]);
    for at in 0..good.len() {
        for byte in 0..=255 {
            let mut bytes = good.clone().into_bytes();
            bytes[at] = byte;
            if let Ok(Some(Outcome::Accepted { len, .. })) = read(&bytes, &LIMITS) {
                assert_eq!(len, good.len());
            }
        }
    }
}
