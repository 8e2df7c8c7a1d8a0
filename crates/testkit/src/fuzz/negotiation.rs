//! What two endpoints agree on.

use wirelet_proto::deflate::{Settings, Window};
use wirelet_proto::handshake::{ExtensionOffers, HandshakeError, RequestHead, UpgradeRequest};

use crate::offers::{Plain, check_answer};

/// Bytes of the input of [`negotiation`] before the text.
const HEAD: usize = 3;

/// Three bytes that make settings, then the value of a header: a server's answer to it and a client's opinion of it,
/// against a plain reading of RFC 7692 7.1.
pub fn negotiation(data: &[u8]) {
    let Some((head, value)) = data.split_first_chunk::<HEAD>() else { return };
    let Ok(text) = str::from_utf8(value) else { return };
    let window = |byte: u8| Window { bits: 8 + (byte & 7), takeover: byte & 8 != 0 };
    let outgoing = window(head[0]);
    let outgoing_smallest = 8 + head[1] % (outgoing.bits - 7);
    let settings = Settings { outgoing, outgoing_smallest, incoming: window(head[2]) };
    let well_formed = is_well_formed(text);
    if well_formed {
        check_answer(&settings, text);
        check_opinion(&settings, text);
    }
    let _ = settings.accept(ExtensionOffers::of(text));
    let _ = settings.check(ExtensionOffers::of(text));
    let offer = settings.offer();
    assert!(is_well_formed(offer.as_str()));
    let unasked = Settings { incoming: Window::LARGEST, ..settings };
    check_answer(&unasked, offer.as_str());
}

/// Whether a request with such an offer is let in.
fn is_well_formed(text: &str) -> bool {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Extensions: {text}\r\n\r\n"
    );
    let one_line = !text.contains(['\r', '\n', '\0']);
    one_line && RequestHead::parse(request.as_bytes()).is_ok_and(|head| UpgradeRequest::verify(head).is_ok())
}

/// What a client thinks of a well-formed answer.
fn check_opinion(client: &Settings, text: &str) {
    let elements: Vec<&str> = text.split(',').map(|element| element.trim_matches([' ', '\t'])).collect();
    let name = |element: &&&str| element.split([';', ' ', '\t']).next() == Some("permessage-deflate");
    let chosen: Vec<&&str> = elements.iter().filter(name).collect();
    let expected = match chosen.as_slice() {
        [] => Ok(None),
        [one] => expected(client, one).map(Some).ok_or(HandshakeError::ExtensionParameters),
        _ => Err(HandshakeError::ExtensionParameters),
    };
    assert_eq!(client.check(ExtensionOffers::of(text)), expected, "{text}");
}

fn expected(client: &Settings, element: &str) -> Option<wirelet_proto::deflate::Params> {
    let answer = Plain::of(element)?;
    let has_values = !answer.window_bits.contains(&Some(None));
    let granted = answer.server_bits() <= client.incoming.bits
        && (client.incoming.takeover || answer.no_context_takeover[0]);
    let mut params = answer.params();
    params.client.bits = params.client.bits.min(client.outgoing.bits);
    params.client.takeover &= client.outgoing.takeover;
    (has_values && granted).then_some(params)
}
