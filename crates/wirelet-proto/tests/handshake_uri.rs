//! WebSocket URIs (RFC 6455 3).

use wirelet_proto::handshake::{ClientHandshake, RequestOptions, Uri, UriError};

#[test]
fn uris() {
    // secure, userinfo, host, name, port, Host header, target, path, query
    let cases = [
        ("ws://a", (false, None, "a", "a", 80, "a", "/", "/", None)),
        ("wss://a", (true, None, "a", "a", 443, "a", "/", "/", None)),
        ("http://a", (false, None, "a", "a", 80, "a", "/", "/", None)),
        ("HTTPS://A.b", (true, None, "A.b", "A.b", 443, "A.b", "/", "/", None)),
        ("ws://a:80/", (false, None, "a", "a", 80, "a", "/", "/", None)),
        ("ws://a:/", (false, None, "a", "a", 80, "a", "/", "/", None)),
        ("ws://a:443/", (false, None, "a", "a", 443, "a:443", "/", "/", None)),
        ("wss://a:80/", (true, None, "a", "a", 80, "a:80", "/", "/", None)),
        ("wss://a:0443/", (true, None, "a", "a", 443, "a", "/", "/", None)),
        ("ws://a:65535/b", (false, None, "a", "a", 65_535, "a:65535", "/b", "/b", None)),
        ("ws://a/b/c?d=e&f", (false, None, "a", "a", 80, "a", "/b/c?d=e&f", "/b/c", Some("d=e&f"))),
        ("ws://a?d", (false, None, "a", "a", 80, "a", "?d", "/", Some("d"))),
        ("ws://a/?", (false, None, "a", "a", 80, "a", "/?", "/", Some(""))),
        ("ws://a/b?c?d/e@f:g", (false, None, "a", "a", 80, "a", "/b?c?d/e@f:g", "/b", Some("c?d/e@f:g"))),
        ("ws://u:p@a:81/", (false, Some("u:p"), "a", "a", 81, "a:81", "/", "/", None)),
        ("ws://@a/", (false, Some(""), "a", "a", 80, "a", "/", "/", None)),
        ("ws://[::1]", (false, None, "[::1]", "::1", 80, "[::1]", "/", "/", None)),
        (
            "ws://u@[fe80::1]:8080/x",
            (false, Some("u"), "[fe80::1]", "fe80::1", 8080, "[fe80::1]:8080", "/x", "/x", None),
        ),
        (
            "ws://127.0.0.1:8080",
            (false, None, "127.0.0.1", "127.0.0.1", 8080, "127.0.0.1:8080", "/", "/", None),
        ),
        (
            "ws://xn--nxasmq6b/%20",
            (false, None, "xn--nxasmq6b", "xn--nxasmq6b", 80, "xn--nxasmq6b", "/%20", "/%20", None),
        ),
    ];
    for (text, expected) in cases {
        let uri = Uri::parse(text).unwrap();
        let parts = (
            uri.is_secure(),
            uri.userinfo(),
            uri.host(),
            uri.host_name(),
            uri.port(),
            uri.host_header(),
            uri.target(),
            uri.path(),
            uri.query(),
        );
        assert_eq!(parts, expected, "{text}");
        // Whatever parses can be asked for.
        let mut out = [0; 512];
        ClientHandshake::new([0; 16], RequestOptions::from_uri(&uri)).write_request(&mut out).unwrap();
    }
}

#[test]
fn not_uris() {
    use UriError::{Character, Fragment, Host, Port, Scheme};
    let cases = [
        ("", Scheme),
        ("a", Scheme),
        ("a:80", Scheme),
        ("//a", Scheme),
        ("ws:a", Scheme),
        ("ws:/a", Scheme),
        ("ftp://a", Scheme),
        ("wsss://a", Scheme),
        ("://a", Scheme),
        ("ws://", Host),
        ("ws:///b", Host),
        ("ws://:80", Host),
        ("ws://?b", Host),
        ("ws://u@", Host),
        ("ws://u@v@a", Host),
        ("ws://a\\b", Host),
        ("ws://[::1", Host),
        ("ws://[]", Host),
        ("ws://[a]", Host),
        ("ws://[::1]x", Host),
        ("ws://[::1%25eth0]", Host),
        ("ws://::1", Host),
        ("ws://a:b", Port),
        ("ws://a:-1", Port),
        ("ws://a:+1", Port),
        ("ws://a:0", Port),
        ("ws://a:65536", Port),
        ("ws://a:18446744073709551617", Port),
        ("ws://a:80:80", Port),
        ("ws://a#", Fragment),
        ("ws://a/b#c", Fragment),
        ("ws://a/b?c#d", Fragment),
        ("ws://a b", Character),
        (" ws://a", Character),
        ("ws://a\r\nX: y", Character),
        ("ws://a/\0", Character),
        ("ws://b\u{fc}cher", Character),
        ("ws://a/\u{fc}", Character),
        ("ws://a/\"", Character),
        ("ws://a/?b=<c>", Character),
    ];
    for (text, error) in cases {
        assert_eq!(Uri::parse(text), Err(error), "{text:?}");
        assert!(!error.to_string().is_empty());
    }
}
