//! Hosts and origins that an operator allows: what they match, and what nothing would match.

use wirelet_proto::handshake::{HostPattern, OriginPattern, PatternError};

/// Listed hosts were compared letter by letter: most of the ways in which people write one matched nothing, in silence.
#[test]
fn hosts_that_were_listed_matched_nothing() {
    let cases: [(&str, &[&str], &[&str]); 13] = [
        (
            "example.com",
            &["example.com", "EXAMPLE.com:81", "example.com.", "example.com.:81", "example.com:"],
            &[
                "a.example.com",
                "example.co",
                "example.com..",
                "xample.com",
                "",
                "example.com:0",
                "example.com/",
            ],
        ),
        ("Example.com.", &["example.com", "example.com."], &["example"]),
        (
            "example.com:80",
            &["example.com", "example.com:80", "example.com.:80"],
            &["example.com:81", "example.com:443", "example.com:8080"],
        ),
        ("example.com:443", &["example.com", "example.com:443"], &["example.com:80"]),
        ("example.com:8080", &["example.com:8080"], &["example.com", "example.com:80"]),
        ("example.com:*", &["example.com", "example.com:8080"], &["example.org"]),
        (
            "*.example.com",
            &["a.example.com", "b.A.EXAMPLE.com:81", "a.example.com."],
            &["example.com", ".example.com", "aexample.com", "a.example.com.org", "example.com.", "m"],
        ),
        ("*.example.com:8080", &["a.example.com:8080"], &["a.example.com", "example.com:8080"]),
        ("127.0.0.1", &["127.0.0.1", "127.0.0.1:8080"], &["127.0.0.2"]),
        ("[::1]", &["[::1]", "[::1]:8080"], &["::1", "[::2]"]),
        ("::1", &["[::1]", "[::1]:8080"], &["[::2]"]),
        ("FE80::1", &["[fe80::1]"], &["[fe80::2]"]),
        ("[::1]:8080", &["[::1]:8080"], &["[::1]", "[::1]:80"]),
    ];
    for (text, same, others) in cases {
        let pattern = HostPattern::parse(text).unwrap();
        for host in same {
            assert!(pattern.matches(host), "{text} {host}");
        }
        for host in others {
            assert!(!pattern.matches(host), "{text} {host}");
        }
    }
}

#[test]
fn hosts_that_nothing_matches_are_refused() {
    use PatternError::{Host, Path, Port, Scheme, Wildcard};
    for (text, error) in [
        ("", Host),
        ("http://example.com", Scheme),
        ("://", Scheme),
        ("example.com/", Path),
        ("example.com/a", Path),
        (":80", Host),
        ("a b", Host),
        ("u@example.com", Host),
        ("[::1", Host),
        ("[::1]x", Host),
        ("caf\u{e9}.example", Host),
        ("example.com:0", Port),
        ("example.com:65536", Port),
        ("example.com:http", Port),
        ("example.com:80:80", Port),
        ("*", Wildcard),
        ("*:80", Wildcard),
        ("a.*.com", Wildcard),
        ("*a.com", Wildcard),
        ("*.*.com", Wildcard),
        ("*.", Host),
        ("*..com", Host),
        ("*.[::1]", Port),
    ] {
        assert_eq!(HostPattern::parse(text), Err(error), "{text:?}");
        assert!(!error.to_string().is_empty());
    }
}

/// Listed origins were compared letter by letter, without their last slashes: `file://` and those with a default port matched nothing.
#[test]
fn origins_that_were_listed_matched_nothing() {
    let cases: [(&str, &[&str], &[&str]); 12] = [
        (
            "https://example.org",
            &[
                "https://example.org",
                "HTTPS://Example.org",
                "https://example.org:443",
                "https://example.org.",
            ],
            &[
                "http://example.org",
                "https://example.org:8443",
                "https://a.example.org",
                "null",
                "",
                "https://",
            ],
        ),
        (
            "https://example.org/",
            &["https://example.org"],
            &["https://example.org/", "https://example.org/a"],
        ),
        (
            "https://example.org:443",
            &["https://example.org", "https://example.org:443"],
            &["https://example.org:80"],
        ),
        (
            "http://example.org:8080",
            &["http://example.org:8080"],
            &["http://example.org", "https://example.org:8080"],
        ),
        (
            "https://*.example.org",
            &["https://a.example.org", "https://a.b.example.org", "https://a.example.org:443"],
            &[
                "https://example.org",
                "https://aexample.org",
                "http://a.example.org",
                "https://a.example.org:81",
            ],
        ),
        (
            "http://localhost:*",
            &["http://localhost", "http://localhost:3000", "http://LOCALHOST:80"],
            &["https://localhost", "http://a.localhost:3000", "http://localhost:0"],
        ),
        ("http://*.localhost:*", &["http://a.localhost:3000"], &["http://localhost:3000"]),
        ("http://[::1]:3000", &["http://[::1]:3000"], &["http://[::1]", "http://::1:3000"]),
        ("null", &["null"], &["", "file://", "Null"]),
        ("file://", &["file://", "FILE://"], &["file:///", "file://example.org", "null", "http://"]),
        (
            "chrome-extension://abcdef",
            &["chrome-extension://abcdef"],
            &["chrome-extension://abcdeg", "abcdef"],
        ),
        ("app://obsidian.md", &["app://obsidian.md"], &["app://obsidian.md:80"]),
    ];
    for (text, same, others) in cases {
        let pattern = OriginPattern::parse(text).unwrap();
        for origin in same {
            assert!(pattern.matches(origin), "{text} {origin}");
        }
        for origin in others {
            assert!(!pattern.matches(origin), "{text} {origin}");
        }
    }
}

#[test]
fn origins_that_nothing_matches_are_refused() {
    use PatternError::{Host, Path, Port, Scheme, Wildcard};
    for (text, error) in [
        ("", Scheme),
        ("*", Scheme),
        ("example.org", Scheme),
        ("example.org:443", Scheme),
        ("//example.org", Scheme),
        ("://example.org", Scheme),
        ("1a://example.org", Scheme),
        ("ht tp://example.org", Scheme),
        ("http:example.org", Scheme),
        ("https://", Host),
        ("https:///", Host),
        ("https://:443", Host),
        ("https://u@example.org", Host),
        ("https://a b", Host),
        ("https://[::1", Host),
        ("https://example.org/a", Path),
        ("https://example.org?a", Path),
        ("https://example.org#a", Path),
        ("https://example.org//", Path),
        ("https://example.org:0", Port),
        ("https://example.org:https", Port),
        ("https://*", Wildcard),
        ("https://a.*.org", Wildcard),
        ("https://*a.org", Wildcard),
        ("https://*.", Host),
    ] {
        assert_eq!(OriginPattern::parse(text), Err(error), "{text:?}");
    }
}

/// Class D: no text of few characters panics, and what matches its own text is what was parsed.
#[test]
fn any_short_text() {
    let characters = ["a", ".", ":", "/", "*", "[", "]", "1", "http", "\u{e9}", "#", "0"];
    let mut texts = vec![String::new()];
    for _ in 0..4 {
        let longer = texts.iter().flat_map(|text| characters.map(|next| format!("{text}{next}"))).collect();
        texts = longer;
        for text in &texts {
            let host = HostPattern::parse(text);
            let origin = OriginPattern::parse(text);
            for other in [text.as_str(), "a", "a.a", "http://a", "null", "*", "[::]"] {
                if let Ok(pattern) = host {
                    pattern.matches(other);
                }
                if let Ok(pattern) = origin {
                    pattern.matches(other);
                }
            }
        }
    }
}
