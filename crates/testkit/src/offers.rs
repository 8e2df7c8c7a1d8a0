//! permessage-deflate's offers and answers, read as plainly as can be: what the core must make of them.

use wirelet_proto::deflate::{Params, Settings, Window};

use crate::random::Rng;

/// An offer or an answer that keeps RFC 7692 7.1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plain {
    /// `server_no_context_takeover`, `client_no_context_takeover`.
    pub no_context_takeover: [bool; 2],
    /// `server_max_window_bits`, `client_max_window_bits`: absent, without a value, or with one.
    pub window_bits: [Option<Option<u8>>; 2],
}

impl Plain {
    /// Of one element of a list; `None` for another extension, and for one that must be declined.
    pub fn of(element: &str) -> Option<Self> {
        let mut plain = Self::default();
        let mut parts = element.split(';').map(|part| part.trim_matches([' ', '\t']));
        if parts.next() != Some("permessage-deflate") {
            return None;
        }
        let mut seen = Vec::new();
        for param in parts {
            let (name, value) =
                param.split_once('=').map_or((param, None), |(name, value)| (name, Some(value)));
            let name = name.trim_end_matches([' ', '\t']);
            if seen.contains(&name) {
                return None;
            }
            seen.push(name);
            let bits = match value {
                None => None,
                Some(value) => Some((8..=15).find(|bits: &u8| bits.to_string() == unquoted(value))?),
            };
            match (name, bits) {
                ("server_no_context_takeover", None) => plain.no_context_takeover[0] = true,
                ("client_no_context_takeover", None) => plain.no_context_takeover[1] = true,
                ("server_max_window_bits", Some(_)) => plain.window_bits[0] = Some(bits),
                ("client_max_window_bits", _) => plain.window_bits[1] = Some(bits),
                _ => return None,
            }
        }
        Some(plain)
    }

    /// The limit of the server's window, bits.
    pub fn server_bits(&self) -> u8 {
        self.window_bits[0].flatten().unwrap_or(15)
    }

    /// The limit of the client's window, bits.
    pub fn client_bits(&self) -> u8 {
        self.window_bits[1].flatten().unwrap_or(15)
    }

    /// Whether a server may answer this offer.
    pub fn can_be_met_by(&self, server: &Settings) -> bool {
        self.server_bits() >= server.outgoing_smallest
            && (self.window_bits[1].is_some() || server.incoming.bits == 15)
    }

    /// As an answer.
    pub fn params(&self) -> Params {
        Params {
            server: Window { bits: self.server_bits(), takeover: !self.no_context_takeover[0] },
            client: Window { bits: self.client_bits(), takeover: !self.no_context_takeover[1] },
        }
    }
}

/// The characters of a value, without quotes and backslashes.
fn unquoted(value: &str) -> String {
    value.trim_matches([' ', '\t']).replace(['"', '\\'], "")
}

/// Checks what `server` answers to a well-formed list of offers; whether it accepts.
pub fn check_answer(server: &Settings, list: &str) -> bool {
    let agreement = server.accept(wirelet_proto::handshake::ExtensionOffers::of(list));
    let offer = list.split(',').filter_map(|element| Plain::of(element.trim_matches([' ', '\t'])));
    let offer = offer.into_iter().find(|offer| offer.can_be_met_by(server));
    let (Some(agreement), Some(offer)) = (agreement, &offer) else {
        assert!(agreement.is_none() && offer.is_none(), "{list}: {offer:?}, {agreement:?}");
        return false;
    };
    let (Params { server: down, client: up }, said) = (agreement.params, agreement.answer);
    let answered = Plain::of(said.as_str()).expect("an answer is well-formed");
    assert_eq!(answered.params(), agreement.params, "what is said is what holds: {list} -> {said}");
    assert!(down.bits <= offer.server_bits() && down.bits <= server.outgoing.bits, "{list} -> {said}");
    assert!(down.bits >= server.outgoing_smallest, "{list} -> {said}");
    assert!(
        !down.takeover || (server.outgoing.takeover && !offer.no_context_takeover[0]),
        "{list} -> {said}"
    );
    assert!(up.bits <= offer.client_bits() && up.bits <= server.incoming.bits, "{list} -> {said}");
    assert!(!up.takeover || server.incoming.takeover, "{list} -> {said}");
    // A limit of the client's window is said only to a client that knows the parameter.
    assert!(answered.window_bits[1].is_none() || offer.window_bits[1].is_some(), "{list} -> {said}");
    true
}

/// Any window.
fn window(rng: &mut Rng) -> Window {
    Window { bits: 8 + rng.below(8) as u8, takeover: rng.one_in(2) }
}

/// Any settings.
pub fn settings(rng: &mut Rng) -> Settings {
    let outgoing = window(rng);
    let outgoing_smallest = 8 + rng.below(usize::from(outgoing.bits) - 7) as u8;
    Settings { outgoing, outgoing_smallest, incoming: window(rng) }
}

/// A well-formed list with up to three offers, legal and not.
pub fn offers(rng: &mut Rng) -> String {
    const VALUES: [&str; 11] =
        ["", "=8", "=9", "=12", "=15", "=\"10\"", "=7", "=16", "=015", "=\"1\\5\"", "=x"];
    const NAMES: [&str; 5] = [
        "server_no_context_takeover",
        "client_no_context_takeover",
        "server_max_window_bits",
        "client_max_window_bits",
        "other",
    ];
    let offer = |rng: &mut Rng| {
        let params = (0..rng.below(5)).map(|_| {
            let known = if rng.one_in(8) { 5 } else { 4 };
            let name = NAMES[rng.below(known)];
            let flag = name.ends_with("takeover") && !rng.one_in(6);
            format!(";{}{name}{}", [" ", ""][rng.below(2)], VALUES[if flag { 0 } else { rng.below(11) }])
        });
        "permessage-deflate".to_string() + &params.collect::<String>()
    };
    (0..1 + rng.below(3)).map(|_| offer(rng)).collect::<Vec<_>>().join(", ")
}
