//! The server's opening handshake: what is accepted, and every refusal with its status (RFC 6455 4.2).

use wirelet_proto::handshake::{
    AcceptOptions, HandshakeError, MAX_SUBPROTOCOLS, Rejection, RequestHead, UpgradeRequest, WriteError,
    accept_key, is_head_request, is_upgrade, is_valid_key, origin_matches_host,
};

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const LINES: [&str; 5] = [
    "Host: server.example.com",
    "Upgrade: websocket",
    "Connection: Upgrade",
    KEY,
    "Sec-WebSocket-Version: 13",
];

/// A good request with the line of the same name replaced or, if there is none, with the line added.
fn with(line: &str) -> String {
    let name = |line: &str| line.split_once(':').map(|(name, _)| name.to_ascii_lowercase());
    let kept = LINES.iter().copied().filter(|good| name(good) != name(line));
    request("GET /chat HTTP/1.1", &kept.chain([line]).collect::<Vec<_>>())
}

/// A good request with lines added.
fn plus(lines: &[&str]) -> String {
    request("GET /chat HTTP/1.1", &[&LINES[..], lines].concat())
}

/// A good request without the line of that name.
fn without(name: &str) -> String {
    let kept: Vec<_> = LINES.iter().copied().filter(|line| !line.starts_with(name)).collect();
    assert_eq!(kept.len(), 4);
    request("GET /chat HTTP/1.1", &kept)
}

fn request(line: &str, headers: &[&str]) -> String {
    format!("{line}\r\n{}\r\n\r\n", headers.join("\r\n"))
}

fn verify(request: &str) -> Result<UpgradeRequest<'_>, HandshakeError> {
    UpgradeRequest::verify(RequestHead::parse(request.as_bytes())?)
}

fn accepted(request: &UpgradeRequest<'_>, options: &AcceptOptions<'_>) -> Result<String, WriteError> {
    let mut out = [0; 1024];
    let len = request.accept(options, &mut out)?;
    Ok(String::from_utf8(out[..len].to_vec()).unwrap())
}

fn rejected(rejection: &Rejection<'_>) -> Result<String, WriteError> {
    let mut out = [0; 1024];
    let len = rejection.write(&mut out)?;
    Ok(String::from_utf8(out[..len].to_vec()).unwrap())
}

#[test]
fn the_example_of_rfc_6455_1_2() {
    let text = plus(&["Origin: http://example.com", "Sec-WebSocket-Protocol: chat, superchat"]);
    let request = verify(&text).unwrap();
    assert_eq!(request.head().path(), "/chat");
    assert_eq!(request.host(), "server.example.com");
    assert_eq!(request.origin(), Ok(Some("http://example.com")));
    assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["chat", "superchat"]);
    assert_eq!(request.select_subprotocol(&["superchat", "chat"]), Some(0));
    assert_eq!(request.select_subprotocol(&["mqtt", "chat"]), Some(1));
    assert_eq!(request.select_subprotocol(&["Chat", "mqtt"]), None);
    assert_eq!(request.select_subprotocol(&[]), None);
    let options = AcceptOptions { subprotocol: Some("chat"), ..Default::default() };
    assert_eq!(
        accepted(&request, &options).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    );
    assert_eq!(request.accept_key(), accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
}

#[test]
fn legal_forms_are_accepted() {
    let firefox = with("Connection: keep-alive, Upgrade");
    let cases = [
        with("Upgrade: WebSocket"),
        with("Upgrade: h2c, websocket"),
        with("Upgrade: ,,websocket ,"),
        firefox,
        with("Connection: keep-alive,UPGRADE"),
        with("Connection:\tkeep-alive ,\t, upgrade ,"),
        plus(&["Connection: keep-alive", "Upgrade: h2c"]),
        request("GET /chat HTTP/1.1", &[&["Connection: keep-alive"], &LINES[..]].concat()),
        request("GET http://other.example/chat HTTP/1.1", &LINES),
        with("Host: [::1]:8080"),
        with("Host: a:"),
        with("Sec-WebSocket-Version:13  "),
        with("HOST: x"),
        plus(&["Content-Length: 0"]),
        plus(&["Origin: null"]),
        plus(&["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x; a=\"b\""]),
    ];
    for text in &cases {
        assert!(verify(text).is_ok(), "{text} {:?}", verify(text).err());
        assert!(is_upgrade(&RequestHead::parse(text.as_bytes()).unwrap()));
    }
    assert_eq!(verify(&cases[8]).unwrap().host(), "other.example");
}

#[test]
fn every_refusal_has_its_status() {
    use HandshakeError as E;
    let post = request("POST /chat HTTP/1.1", &LINES);
    let old = request("GET /chat HTTP/1.0", &LINES);
    let key = |value: &str| with(&format!("Sec-WebSocket-Key: {value}"));
    let cases = [
        (post, E::Method, 405),
        (request("get /chat HTTP/1.1", &LINES), E::Method, 405),
        (old, E::Version, 505),
        (request("GET /chat HTTP/1.2", &LINES), E::Version, 505),
        (request("GET /chat HTTP/2.0", &LINES), E::Version, 505),
        (without("Upgrade"), E::NotAnUpgrade, 426),
        (with("Upgrade: websockets"), E::NotAnUpgrade, 426),
        (with("Upgrade: websocket/13"), E::NotAnUpgrade, 426),
        (with("Upgrade: \"websocket\""), E::NotAnUpgrade, 426),
        (with("Upgrade: ,"), E::NotAnUpgrade, 426),
        (without("Connection"), E::Connection, 400),
        (with("Connection: close"), E::Connection, 400),
        (with("Connection: keep-alive Upgrade"), E::Connection, 400),
        (with("Connection: Upgrade;"), E::Connection, 400),
        (with("Connection: ,,"), E::Connection, 400),
        (with("Connection:"), E::Connection, 400),
        (without("Host"), E::Host, 400),
        (with("Host:"), E::BadHost, 400),
        (with("Host: a b"), E::BadHost, 400),
        (with("Host: a/b"), E::BadHost, 400),
        (with("Host: u@a"), E::BadHost, 400),
        (with("Host: a:b"), E::BadHost, 400),
        (with("Host: a:65536"), E::BadHost, 400),
        (with("Host: [::1"), E::BadHost, 400),
        (with("Host: fd00::1:8081"), E::BadHost, 400),
        (with("Host: caf\u{e9}.example"), E::BadHost, 400),
        (plus(&["Host: server.example.com"]), E::Host, 400),
        (request("GET http://u@a/ HTTP/1.1", &LINES), E::BadHost, 400),
        (without("Sec-WebSocket-Version"), E::WebSocketVersion, 426),
        (with("Sec-WebSocket-Version: 8"), E::WebSocketVersion, 426),
        (with("Sec-WebSocket-Version: 013"), E::WebSocketVersion, 426),
        (with("Sec-WebSocket-Version: 13, 8"), E::WebSocketVersion, 426),
        (with("Sec-WebSocket-Version: 130"), E::WebSocketVersion, 426),
        (plus(&["Sec-WebSocket-Version: 13"]), E::WebSocketVersion, 426),
        (without("Sec-WebSocket-Key"), E::Key, 400),
        (plus(&[KEY]), E::Key, 400),
        (key(""), E::Key, 400),
        (key("dGhlIHNhbXBsZSBub25jZQ="), E::Key, 400),
        (key("dGhlIHNhbXBsZSBub25jZQ"), E::Key, 400),
        (key("dGhlIHNhbXBsZSBub25jZQAA"), E::Key, 400),
        (key("dGhlIHNhbXBsZSBub25jZQ==="), E::Key, 400),
        (key("dGhlIHNhbXBsZSBub25jZQAA=="), E::Key, 400),
        (key("dGhlIHNhbXBsZSBub25jZ==="), E::Key, 400),
        (key("dGhlIHNhbXBsZSBub25-ZQ=="), E::Key, 400),
        (key("dGhlIHNhbXBs ZSBub25jZQ=="), E::Key, 400),
        (plus(&["Content-Length: 1"]), E::HasBody, 400),
        (plus(&["Transfer-Encoding: chunked"]), E::HasBody, 400),
        (plus(&["Content-Length: 0", "Content-Length: 5"]), E::HasBody, 400),
        (plus(&["Content-Length: -1"]), E::BadContentLength, 400),
        (plus(&["Content-Length: 99999999999999999999"]), E::BadContentLength, 400),
    ];
    for (text, error, status) in &cases {
        assert_eq!(verify(text).map(|_| ()), Err(*error), "{text}");
        assert_eq!(error.status(), *status);
        assert!(!error.to_string().is_empty() && !error.to_string().contains('\n'));
        let answer = rejected(&Rejection::of(*error)).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(!answer.contains("Refused"), "{status} has a phrase of its own");
    }
}

/// A request that waits for 100 got 101 at once; RFC 9110 7.8 asks for both, in this order.
#[test]
fn who_expects_100_got_101_at_once() {
    let plain = plus(&[]);
    let answer = accepted(&verify(&plain).unwrap(), &AcceptOptions::default()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 "));
    for expects in [
        "Expect: 100-continue",
        "expect: 100-Continue",
        "Expect: x, 100-CONTINUE",
        "Expect: x\r\nExpect: 100-continue",
    ] {
        let text = plus(&[expects]);
        let both = accepted(&verify(&text).unwrap(), &AcceptOptions::default()).unwrap();
        assert_eq!(both, format!("HTTP/1.1 100 Continue\r\n\r\n{answer}"), "{expects}");
    }
    for other in ["Expect:", "Expect: 100-continued", "Expect: 100", "X-Expect: 100-continue"] {
        let text = plus(&[other]);
        assert_eq!(accepted(&verify(&text).unwrap(), &AcceptOptions::default()).unwrap(), answer, "{other}");
    }
}

#[test]
fn a_request_for_a_head_is_known_by_its_first_bytes() {
    for (bytes, expected) in [
        ("HEAD /a#b HTTP/1.1\r\n", true),
        ("\r\nHEAD ", true),
        ("HEAD", false),
        ("head / HTTP/1.1\r\n", false),
        ("HEADS / HTTP/1.1\r\n", false),
        ("GET /HEAD HTTP/1.1\r\n", false),
        ("\r\n\r\nHEAD ", false),
        ("", false),
    ] {
        assert_eq!(is_head_request(bytes.as_bytes()), expected, "{bytes:?}");
    }
    for (version, expected) in [("1.0", false), ("1.1", true)] {
        let text = format!("POST / HTTP/{version}\r\nExpect: 100-continue\r\n\r\n");
        assert_eq!(RequestHead::parse(text.as_bytes()).unwrap().expects_continue(), expected, "{version}");
    }
}

#[test]
fn lists_of_subprotocols() {
    let offered = |value: &str| {
        let text = plus(&[&format!("Sec-WebSocket-Protocol: {value}")]);
        verify(&text).map(|request| request.subprotocols().collect::<Vec<_>>().join("|"))
    };
    for (value, expected) in [
        ("chat", "chat"),
        (" a ,b,c\t", "a|b|c"),
        (",,a,, ,b,", "a|b"),
        ("v1.json,V1.json", "v1.json|V1.json"),
    ] {
        assert_eq!(offered(value).as_deref(), Ok(expected), "{value:?}");
    }
    for value in
        ["", ",", ",,", " , ", "a b", "\"", "\"a\"", "a,\"", "a;b", "a/b", "a,b,a", "a=b", "caf\u{e9}"]
    {
        assert_eq!(offered(value), Err(HandshakeError::Subprotocols), "{value:?}");
    }
    assert_eq!(offered("a\0"), Err(HandshakeError::BadCharacter));
    let lines = plus(&["Sec-WebSocket-Protocol: a,b", "sec-websocket-protocol: c"]);
    assert_eq!(verify(&lines).unwrap().subprotocols().collect::<Vec<_>>(), ["a", "b", "c"]);
    let twice = plus(&["Sec-WebSocket-Protocol: a,b", "Sec-WebSocket-Protocol: b"]);
    assert_eq!(verify(&twice).map(|_| ()), Err(HandshakeError::Subprotocols));
    let many = |count| offered(&(0..count).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
    assert!(many(MAX_SUBPROTOCOLS).is_ok());
    assert_eq!(many(MAX_SUBPROTOCOLS + 1), Err(HandshakeError::Subprotocols));
}

#[test]
fn lists_of_extensions() {
    let offered = |value: &str| {
        let text = plus(&[&format!("Sec-WebSocket-Extensions: {value}")]);
        verify(&text).map(|request| {
            let param = |p: wirelet_proto::handshake::ExtensionParam<'_>| match p.value {
                Some(value) => format!(";{}={}", p.name, String::from_utf8(value.bytes().collect()).unwrap()),
                None => format!(";{}", p.name),
            };
            let offers = request.extensions();
            offers
                .map(|e| e.name().to_owned() + &e.params().map(param).collect::<String>())
                .collect::<Vec<_>>()
                .join(",")
        })
    };
    for (value, expected) in [
        ("foo", "foo"),
        ("foo, bar; baz=2", "foo,bar;baz=2"),
        (
            "permessage-deflate; client_max_window_bits; server_max_window_bits=10,x",
            "permessage-deflate;client_max_window_bits;server_max_window_bits=10,x",
        ),
        ("a ; b = c\t;d,,e", "a;b=c;d,e"),
        ("a;b=\"c\"", "a;b=c"),
        ("a;b=\"1\\0\";c=\"\\1\\5\"", "a;b=10;c=15"),
        (",,a,", "a"),
        ("a, ,,", "a"),
        ("a;b;b", "a;b;b"),
    ] {
        assert_eq!(offered(value).as_deref(), Ok(expected), "{value:?}");
    }
    for value in [
        "",
        ",",
        ",,",
        "\"",
        "a;",
        "a;;b",
        "a;b=",
        "a;b=\"",
        "a;b=\"c",
        "a;b=\"\"",
        "a;b=\"c d\"",
        "a;b=\"c,d\"",
        "a;b=\"c\\\"",
        "a;b=\"c\\\"\"",
        "a;b=\"\\\\\"",
        "a;b=\"c\"d",
        "a b",
        "a=b",
        "a;b c",
        "a;=c",
        ";a",
        "a;b\"c\"",
        "a;b\"",
        "a;b \"",
        "a/b",
        "a;b=\"caf\u{e9}\"",
        "caf\u{e9}",
    ] {
        assert_eq!(offered(value), Err(HandshakeError::Extensions), "{value:?}");
    }
    let lines = plus(&["Sec-WebSocket-Extensions: a;b", "Sec-WebSocket-Extensions: c"]);
    assert_eq!(verify(&lines).unwrap().extensions().map(|e| e.name()).collect::<Vec<_>>(), ["a", "c"]);
    let broken = plus(&["Sec-WebSocket-Extensions: a;b=", "Sec-WebSocket-Extensions: c"]);
    assert_eq!(verify(&broken).map(|_| ()), Err(HandshakeError::Extensions));
    let text = plus(&["Sec-WebSocket-Extensions: a;b=\"1\\0\""]);
    let param = verify(&text).unwrap().extensions().next().unwrap().params().next().unwrap();
    assert!(param.value.is_some_and(|value| value == "10" && value != "1\\0"));
}

#[test]
fn what_is_an_attempt_and_what_is_not() {
    let plain = |headers: &[&str]| {
        let text = request("GET / HTTP/1.1", &[&["Host: a"], headers].concat());
        is_upgrade(&RequestHead::parse(text.as_bytes()).unwrap())
    };
    assert!(!plain(&[]));
    assert!(!plain(&["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"]));
    assert!(plain(&["Upgrade: WEBSOCKET"]));
    assert!(plain(&["Sec-WebSocket-Key: x"])); // a proxy dropped Upgrade
}

#[test]
fn acceptance_holds_only_what_was_offered() {
    let text = plus(&["Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Extensions: permessage-deflate, x"]);
    let request = verify(&text).unwrap();
    let subprotocol =
        |name| accepted(&request, &AcceptOptions { subprotocol: Some(name), ..Default::default() });
    assert!(subprotocol("chat").unwrap().ends_with("\r\nSec-WebSocket-Protocol: chat\r\n\r\n"));
    for name in ["Chat", "superchat", "", "chat\r\nX: y"] {
        assert_eq!(subprotocol(name), Err(WriteError::SubprotocolNotOffered), "{name:?}");
    }
    let extensions =
        |value| accepted(&request, &AcceptOptions { extensions: Some(value), ..Default::default() });
    assert!(
        extensions("x; a=1, permessage-deflate")
            .unwrap()
            .contains("\r\nSec-WebSocket-Extensions: x; a=1, perm")
    );
    assert_eq!(extensions("y"), Err(WriteError::ExtensionNotOffered));
    assert_eq!(extensions("x, y"), Err(WriteError::ExtensionNotOffered));
}

#[test]
fn buffers_that_are_too_small() {
    let text = plus(&[]);
    let request = verify(&text).unwrap();
    let needed = accepted(&request, &AcceptOptions::default()).unwrap().len();
    let rejection = Rejection { status: 403, headers: &[("A", "b")], body: b"no" };
    let refused = rejected(&rejection).unwrap().len();
    for size in 0..needed.max(refused) {
        let mut out = vec![0xee; size];
        if size < needed {
            let error = Err(WriteError::BufferTooSmall { needed });
            assert_eq!(request.accept(&AcceptOptions::default(), &mut out), error);
        }
        if size < refused {
            assert_eq!(rejection.write(&mut out), Err(WriteError::BufferTooSmall { needed: refused }));
        }
    }
    assert_eq!(request.accept(&AcceptOptions::default(), &mut vec![0; needed]), Ok(needed));
}

#[test]
fn rejections() {
    let headers = [("Content-Type", "text/plain"), ("WWW-Authenticate", "Basic realm=\"a\"")];
    assert_eq!(
        rejected(&Rejection { status: 401, headers: &headers, body: b"who are you?" }).unwrap(),
        "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 12\r\nContent-Type: text/plain\r\n\
         WWW-Authenticate: Basic realm=\"a\"\r\n\r\nwho are you?"
    );
    assert_eq!(
        rejected(&Rejection::of(HandshakeError::WebSocketVersion)).unwrap(),
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\
         Sec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n"
    );
    assert!(rejected(&Rejection::new(405)).unwrap().contains("\r\nAllow: GET\r\n"));
    let own = Rejection { headers: &[("allow", "GET, POST")], ..Rejection::new(405) };
    assert!(!rejected(&own).unwrap().contains("Allow: GET\r\n"));
    assert!(rejected(&Rejection::new(499)).unwrap().starts_with("HTTP/1.1 499 Refused\r\n"));
    for status in [0, 99, 101, 200, 204, 299, 304, 600, 65_535] {
        assert!(rejected(&Rejection::new(status)).is_err(), "{status}");
    }
}

#[test]
fn keys() {
    assert!(is_valid_key(b"AQIDBAUGBwgJCgsMDQ4PEC=="));
    assert!(is_valid_key(b"++++//////////////////=="));
    assert!(!is_valid_key(b"AQIDBAUGBwgJCgsMDQ4PE==="));
    assert!(!is_valid_key(b"AQIDBAUGBwgJCgsMDQ4P=C=="));
    assert_eq!(&accept_key(b"x3JJHMbDL1EzLkh9GBhXDw=="), b"HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
}

#[test]
fn origins() {
    let same = [
        ("http://example.com", "example.com"),
        ("http://EXAMPLE.com", "example.COM"),
        ("http://example.com:80", "example.com"),
        ("http://example.com", "example.com:80"),
        ("https://example.com", "example.com:443"),
        ("https://example.com:443", "example.com"),
        ("wss://example.com", "example.com"),
        ("ws://example.com:8080", "example.com:8080"),
        ("HTTP://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://[::1]:8080", "[::1]:8080"),
        ("http://[FE80::1]", "[fe80::1]"),
        ("http://a:", "a"),
        ("http://example.com.", "example.com"),
        ("http://example.com", "example.com."),
        ("http://example.com.:8080", "EXAMPLE.com:8080"),
    ];
    for (origin, host) in same {
        assert!(origin_matches_host(origin, host), "{origin} {host}");
    }
    let other = [
        ("http://example.com", "example.org"),
        ("http://example.com..", "example.com"),
        ("http://.", ""),
        ("http://example.com", "www.example.com"),
        ("http://www.example.com", "example.com"),
        ("http://example.com.evil.org", "example.com"),
        ("http://example.com:8080", "example.com"),
        ("http://example.com", "example.com:8080"),
        ("https://example.com", "example.com:80"),
        ("http://example.com@evil.org", "example.com"),
        ("http://evil.org@example.com", "example.com"),
        ("http://example.com/", "example.com"),
        ("http://example.com#", "example.com"),
        ("null", "null"),
        ("", ""),
        ("http://", ""),
        ("file://", ""),
        ("file://example.com", "example.com"),
        ("chrome-extension://example.com", "example.com"),
        ("example.com", "example.com"),
        ("http:example.com", "example.com"),
        ("http://[::1]", "::1"),
        ("http://[::1", "[::1"),
        ("http://[::1]", "[::2]"),
        ("http://a:99999", "a:99999"),
        ("http://a:0", "a:0"),
    ];
    for (origin, host) in other {
        assert!(!origin_matches_host(origin, host), "{origin} {host}");
    }
    for (origin, expected) in [(None, true), (Some("http://server.example.com"), true), (Some("null"), false)]
    {
        let line = origin.map(|origin| format!("Origin: {origin}"));
        let text = plus(&line.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(verify(&text).unwrap().is_same_origin(), expected, "{origin:?}");
    }
}

/// A request whose Origin is repeated, empty or none was refused also where any origin may connect: who may is for the server to say,
/// which is told that there is something that is none.
#[test]
fn an_origin_that_is_none_is_no_absent_one() {
    for lines in [
        &["Origin: http://server.example.com", "Origin: http://server.example.com"][..],
        &["Origin:", "Origin:"],
        &["Origin: http://a http://b"],
        &["Origin:"],
        &["Origin: \t"],
        &["Origin: http://caf\u{e9}"],
    ] {
        let text = plus(lines);
        let request = verify(&text).unwrap();
        assert_eq!(request.origin(), Err(HandshakeError::Origin), "{text}");
        assert!(!request.is_same_origin(), "{text}");
    }
    assert_eq!(HandshakeError::Origin.status(), 400);
    assert_eq!(verify(&plus(&[])).unwrap().origin(), Ok(None));
}

/// Class D: any byte at any place of a good request, without a panic.
#[test]
fn any_byte_anywhere() {
    let good = plus(&[
        "Origin: http://a",
        "Sec-WebSocket-Protocol: a, b",
        "Sec-WebSocket-Extensions: a; b=\"c\", d",
    ]);
    for at in 0..good.len() {
        for byte in 0..=255 {
            let mut bytes = good.clone().into_bytes();
            bytes[at] = byte;
            let Ok(request) = RequestHead::parse(&bytes).and_then(UpgradeRequest::verify) else { continue };
            assert!(request.subprotocols().count() <= 3);
            assert!(request.extensions().map(|extension| extension.params().count()).sum::<usize>() <= 2);
            let len = request.accept(&AcceptOptions::default(), &mut [0; 512]).unwrap();
            assert_eq!(len, 129);
        }
    }
}
