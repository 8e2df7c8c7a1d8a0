//! Opening handshakes and the lists in their headers.

use wirelet_proto::handshake::{
    AcceptOptions, Answer, BodyLength, ClientHandshake, ExtensionOffers, HandshakeError, HeadLimits,
    HeadScanner, HostPattern, OriginPattern, Rejection, RequestHead, RequestOptions, Subprotocols,
    UpgradeRequest, Uri, accept_key, is_upgrade, is_valid_key, origin_matches_host,
};

/// The nonce of the client under test: the one of the RFC's example.
pub const NONCE: [u8; 16] = *b"the sample nonce";

/// What the client under test asks for.
const OFFERED: [&str; 2] = ["chat", "superchat"];
const LIMITS: HeadLimits = HeadLimits { bytes: 2048, headers: 24 };

/// A request, in pieces of the size that the first byte gives.
pub fn server_handshake(data: &[u8]) {
    let Some((size, request)) = data.split_first() else { return };
    let whole = HeadScanner::new().scan(request, &LIMITS);
    assert_eq!(scan_in_pieces(request, usize::from(*size) + 1), whole, "the split matters");
    let len = match whole {
        Ok(Some(len)) => len,
        Ok(None) => return,
        Err(error) => return refuse(error),
    };
    assert!(len <= LIMITS.bytes && request[..len].ends_with(b"\r\n\r\n"));
    let head = match RequestHead::parse(request) {
        Ok(head) => head,
        Err(error) => return refuse(error),
    };
    assert_eq!(head.len(), len);
    match UpgradeRequest::verify(head) {
        Err(error) => refuse(error),
        Ok(upgrade) => {
            assert!(is_upgrade(&head));
            check_request(&request[..len], &upgrade);
            accept(&upgrade);
        }
    }
}

fn scan_in_pieces(bytes: &[u8], size: usize) -> Result<Option<usize>, HandshakeError> {
    let mut scanner = HeadScanner::new();
    let mut end = 0;
    while end < bytes.len() {
        end = (end + size).min(bytes.len());
        let answer = scanner.scan(&bytes[..end], &LIMITS);
        if answer != Ok(None) {
            return answer;
        }
    }
    scanner.scan(bytes, &LIMITS)
}

fn refuse(error: HandshakeError) {
    assert!((400..600).contains(&error.status()), "{error:?}");
    assert!(!error.rfc_section().is_empty());
    let mut out = [0; 512];
    let len = Rejection::of(error).write(&mut out).expect("a refusal fits");
    let answer = ClientHandshake::new(NONCE, RequestOptions::new("h", "/"))
        .read_response(&mut out[..len], &HeadLimits::default())
        .expect("a refusal is HTTP");
    let Some(Answer::Refused(refusal)) = answer else { panic!("{answer:?}") };
    assert_eq!((refusal.head().status(), refusal.len()), (error.status(), len));
    assert_eq!(refusal.body_length(), BodyLength::Bytes(0));
}

/// The rules of RFC 6455 4.2.1 once more, slowly.
fn check_request(head: &[u8], upgrade: &UpgradeRequest<'_>) {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.strip_prefix("\r\n").unwrap_or(&head).split("\r\n");
    let start = lines.next().expect("a start line");
    let version = start.rsplit(' ').next().expect("a version");
    assert!(start.starts_with("GET ") && version == "HTTP/1.1", "{start}");
    assert!(!start.contains(['"', '#', '<', '>']), "{start}");
    let headers: Vec<(String, &str)> = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t'])))
        .collect();
    let all =
        |name: &str| headers.iter().filter(|(other, _)| other == name).map(|(_, v)| *v).collect::<Vec<_>>();
    let lists = |name: &str, token: &str| {
        all(name)
            .iter()
            .flat_map(|v| v.split(','))
            .any(|e| e.trim_matches([' ', '\t']).eq_ignore_ascii_case(token))
    };
    assert!(lists("upgrade", "websocket") && lists("connection", "upgrade"));
    assert_eq!(all("sec-websocket-version"), ["13"]);
    assert_eq!((all("host").len(), all("sec-websocket-key").len()), (1, 1));
    assert!(is_valid_key(all("sec-websocket-key")[0].as_bytes()));
    assert_eq!(upgrade.accept_key(), accept_key(all("sec-websocket-key")[0].as_bytes()));
    match upgrade.origin() {
        Ok(None) => assert!(all("origin").is_empty() && upgrade.is_same_origin()),
        Ok(Some(origin)) => assert_eq!(all("origin"), [origin]),
        Err(_) => assert!(!all("origin").is_empty() && !upgrade.is_same_origin()),
    }
}

/// Accepts, and has the client that asked read the answer.
fn accept(upgrade: &UpgradeRequest<'_>) {
    let chosen = upgrade.select_subprotocol(&OFFERED).map(|index| OFFERED[index]);
    let options = AcceptOptions { subprotocol: chosen, ..AcceptOptions::default() };
    let mut out = [0; 512];
    let len = upgrade.accept(&options, &mut out).expect("what was selected can be accepted");
    let key = upgrade.head().header("Sec-WebSocket-Key").expect("verified");
    if !b"AQgw".contains(&key[21]) {
        // Bits that are in none of the 16 bytes are set: no client of ours writes that.
        return;
    }
    let offer = RequestOptions { subprotocols: &OFFERED, ..RequestOptions::new("h", "/") };
    let mut client = ClientHandshake::new(decode_key(key), offer);
    let read = client.read_response(&mut out[..len], &HeadLimits::default());
    let Ok(Some(Answer::Accepted(accepted))) = read else { panic!("refused: {read:?}") };
    assert_eq!((accepted.len(), accepted.subprotocol()), (len, chosen));
}

/// The 16 bytes of a key that is known to be valid.
fn decode_key(key: &[u8]) -> [u8; 16] {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = key[..22].iter().fold(0_u128, |bits, byte| {
        // 22 characters hold 132 bits: the first four fall out at the top, and come back below.
        bits << 6 | ALPHABET.iter().position(|c| c == byte).expect("base64") as u128
    });
    let first = ALPHABET.iter().position(|c| *c == key[0]).expect("base64") as u128;
    let second = ALPHABET.iter().position(|c| *c == key[1]).expect("base64") as u128;
    let mut bytes = (bits >> 4).to_be_bytes();
    bytes[0] = (first << 2 | second >> 4) as u8;
    bytes
}

/// A response, in pieces of the size that the first byte gives.
pub fn client_handshake(data: &[u8]) {
    let Some((size, response)) = data.split_first() else { return };
    let new = || {
        let extensions = Some("permessage-deflate");
        let options = RequestOptions { subprotocols: &OFFERED, extensions, ..RequestOptions::new("h", "/") };
        ClientHandshake::new(NONCE, options)
    };
    let mut whole = new();
    let mut pieces = new();
    let (mut at_once, mut buffer) = (response.to_vec(), response.to_vec());
    let answer = whole.read_response(&mut at_once, &LIMITS);
    let mut end = 0;
    let in_pieces = loop {
        end = (end + usize::from(*size) + 1).min(response.len());
        match pieces.read_response(&mut buffer[..end], &LIMITS) {
            Ok(None) if end < response.len() => {}
            other => break without_rest(other),
        }
    };
    assert_eq!(in_pieces, without_rest(answer), "the split matters");
    match answer {
        Ok(Some(Answer::Accepted(accepted))) => {
            let head = accepted.head();
            assert_eq!(head.status(), 101);
            assert!(accepted.len() <= response.len());
            assert_eq!(head.header("Sec-WebSocket-Accept"), Some(&b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="[..]));
            assert!(accepted.subprotocol().is_none_or(|name| OFFERED.contains(&name)));
            assert!(accepted.extensions().all(|extension| extension.name() == "permessage-deflate"));
        }
        Ok(Some(Answer::Refused(refusal))) => {
            assert!(refusal.head().status() >= 200 && refusal.len() <= response.len());
            assert!(refusal.location().is_none() || refusal.head().status() / 100 == 3);
        }
        Ok(None) => assert!(response.len() < LIMITS.bytes),
        Err(_) => {}
    }
}

/// An answer, as text, but for what followed it in the buffer.
fn without_rest(answer: Result<Option<Answer<'_>>, HandshakeError>) -> String {
    match answer {
        Ok(Some(Answer::Accepted(accepted))) => format!("{:?} {}", accepted.head(), accepted.len()),
        Ok(Some(Answer::Refused(refusal))) => format!("{:?} {}", refusal.head(), refusal.len()),
        other => format!("{other:?}"),
    }
}

/// Any bytes as the value of each header that holds a list, as an origin, a host and a URI.
pub fn header_lists(data: &[u8]) {
    let value: Vec<u8> = data.iter().copied().filter(|byte| !b"\r\n\0".contains(byte)).collect();
    for name in
        ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Connection", "Upgrade", "Host", "Origin"]
    {
        let mut request = b"GET / HTTP/1.1\r\n".to_vec();
        for (other, usual) in [
            ("Host", "h"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
        ] {
            if other != name {
                request.extend(format!("{other}: {usual}\r\n").bytes());
            }
        }
        request.extend([name.as_bytes(), b": ", &value, b"\r\n\r\n"].concat());
        let Ok(head) = RequestHead::parse(&request) else { continue };
        // The lists are also read where the request is refused.
        let naive = naive_list(head.header(name).unwrap_or_default());
        assert!(head.headers().list(name).eq(naive.iter().copied()), "{name}");
        let Ok(upgrade) = UpgradeRequest::verify(head) else { continue };
        check_lists(upgrade.subprotocols(), upgrade.extensions(), &naive, name);
        accept(&upgrade);
    }
    if let Ok(text) = str::from_utf8(data) {
        let _ = HostPattern::parse(text).is_ok_and(|pattern| pattern.matches(text));
        let _ = OriginPattern::parse(text).is_ok_and(|pattern| pattern.matches(text));
        let _ = origin_matches_host(text, "example.com") | origin_matches_host("https://example.com", text);
        if let Ok(uri) = Uri::parse(text) {
            assert!(
                text.contains(uri.host())
                    && (uri.path().starts_with('/')
                        || uri.target().is_empty()
                        || uri.target().starts_with('?')),
                "{uri:?}"
            );
            let options = RequestOptions::from_uri(&uri);
            let mut out = vec![0; 1024 + data.len()];
            let written = ClientHandshake::new(NONCE, options).write_request(&mut out);
            let head = RequestHead::parse(&out[..written.expect("what was parsed can be asked for")]);
            UpgradeRequest::verify(head.expect("a request")).expect("what is written is legal");
        }
    }
}

fn naive_list(value: &[u8]) -> Vec<&[u8]> {
    let trim = |mut element: &'_ [u8]| -> usize {
        while let [rest @ .., b' ' | b'\t'] = element {
            element = rest;
        }
        element.len()
    };
    let element = |element| {
        let end = trim(element);
        let start = element[..end].iter().take_while(|byte| b" \t".contains(byte)).count();
        &element[start..end]
    };
    value.split(|byte| *byte == b',').map(element).filter(|element: &&[u8]| !element.is_empty()).collect()
}

fn check_lists(protocols: Subprotocols<'_>, extensions: ExtensionOffers<'_>, naive: &[&[u8]], name: &str) {
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    if name == "Sec-WebSocket-Protocol" {
        let protocols: Vec<&str> = protocols.collect();
        assert!(protocols.iter().map(|name| name.as_bytes()).eq(naive.iter().copied()));
        assert!(protocols.iter().all(|name| is_token(name)));
        assert!(protocols.iter().enumerate().all(|(i, name)| !protocols[..i].contains(name)));
    }
    for extension in extensions {
        assert!(is_token(extension.name()));
        for param in extension.params() {
            assert!(is_token(param.name));
            let value = param.value.map(|value| value.bytes().map(char::from).collect::<String>());
            assert!(value.is_none_or(|value| is_token(&value)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_example_decodes() {
        assert_eq!(decode_key(b"dGhlIHNhbXBsZSBub25jZQ=="), NONCE);
        assert_eq!(decode_key(b"/////////////////////w=="), [0xff; 16]);
    }
}
