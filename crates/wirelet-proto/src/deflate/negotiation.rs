//! Offers and answers of the opening handshake (RFC 7692 5, 7.1).

use core::fmt;

use crate::Role;
use crate::handshake::{ExtensionOffer, ExtensionOffers, ExtensionParam, HandshakeError, ParamValue};

/// The name of the extension (RFC 7692 7).
const NAME: &str = "permessage-deflate";
const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";

/// The largest window, which is meant where none is mentioned (RFC 7692 7.1.2).
const LARGEST: u8 = 15;
/// The smallest window (RFC 7692 7.1.2).
const SMALLEST: u8 = 8;

/// How one direction is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Window {
    /// The base-2 logarithm of the LZ77 window's size, 8–15: from 256 bytes to 32 KiB.
    pub bits: u8,
    /// Whether the window lives on from message to message (context takeover).
    pub takeover: bool,
}

impl Window {
    /// 32 KiB, with context takeover: what holds where nothing is said.
    pub const LARGEST: Self = Self { bits: LARGEST, takeover: true };

    /// `bits` without context takeover.
    pub const fn fresh(bits: u8) -> Self {
        Self { bits, takeover: false }
    }

    /// `bits` with context takeover.
    pub const fn kept(bits: u8) -> Self {
        Self { bits, takeover: true }
    }
}

/// What both sides have agreed on (RFC 7692 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Params {
    /// How the server compresses.
    pub server: Window,
    /// How the client compresses.
    pub client: Window,
}

impl Params {
    /// Both directions with the largest window and context takeover: an answer without parameters.
    pub const LARGEST: Self = Self { server: Window::LARGEST, client: Window::LARGEST };

    /// How this endpoint compresses.
    pub const fn outgoing(&self, role: Role) -> Window {
        match role {
            Role::Server => self.server,
            Role::Client => self.client,
        }
    }

    /// How its peer compresses.
    pub const fn incoming(&self, role: Role) -> Window {
        match role {
            Role::Server => self.client,
            Role::Client => self.server,
        }
    }
}

impl Default for Params {
    fn default() -> Self {
        Self::LARGEST
    }
}

impl fmt::Display for Params {
    /// All four parameters in the header's notation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = HeaderValue::new(|text| {
            text.flag(SERVER_NO_CONTEXT_TAKEOVER, !self.server.takeover);
            text.flag(CLIENT_NO_CONTEXT_TAKEOVER, !self.client.takeover);
            text.bits(SERVER_MAX_WINDOW_BITS, Some(self.server.bits));
            text.bits(CLIENT_MAX_WINDOW_BITS, Some(self.client.bits));
        });
        f.write_str(text.as_str())
    }
}

/// What an endpoint is ready to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How it wants to compress: the largest window, and whether it keeps it between messages.
    pub outgoing: Window,
    /// The smallest window that it can compress with, bits. An offer that demands a smaller one is declined, never
    /// answered with a larger one in silence.
    pub outgoing_smallest: u8,
    /// What it can decompress: the largest window, and whether it keeps it between messages.
    pub incoming: Window,
}

impl Settings {
    /// The same for both directions.
    pub const fn both(window: Window) -> Self {
        Self { outgoing: window, outgoing_smallest: SMALLEST, incoming: window }
    }

    /// Chooses among a client's offers: the first that can be met, in the client's order of preference (RFC 7692 5).
    /// `None`: there is none, and messages are not compressed.
    pub fn accept(&self, offers: ExtensionOffers<'_>) -> Option<Agreement> {
        offers.filter(|offer| offer.name() == NAME).find_map(|offer| self.meet(&Offered::of(&offer)?))
    }

    /// RFC 7692 7.1: what this server answers to one offer.
    fn meet(&self, offer: &Offered) -> Option<Agreement> {
        // 7.1.2.1: a window of the server's that is at most the one demanded, or the offer is declined.
        let server_bits = self.outgoing.bits.min(offer.server_bits.limit());
        if server_bits < self.outgoing_smallest.max(SMALLEST) {
            return None;
        }
        // 7.1.2.2: the server may limit the client's window only where the client has said that it can be.
        let client_bits = match offer.client_bits {
            Bits::Absent => LARGEST,
            asked => self.incoming.bits.min(asked.limit()),
        };
        if client_bits > self.incoming.bits {
            return None;
        }
        let params = Params {
            // 7.1.1.1: accepting the offer means keeping no context. A server may say so unasked.
            server: Window {
                bits: server_bits,
                takeover: self.outgoing.takeover && !offer.server_no_context_takeover,
            },
            // 7.1.1.2: in an offer it is a hint, which saves memory here; in an answer it binds the client.
            client: Window {
                bits: client_bits,
                takeover: self.incoming.takeover && !offer.client_no_context_takeover,
            },
        };
        let says_server_bits = offer.server_bits != Bits::Absent || server_bits < LARGEST;
        let answer = HeaderValue::new(|text| {
            text.flag(SERVER_NO_CONTEXT_TAKEOVER, !params.server.takeover);
            text.flag(CLIENT_NO_CONTEXT_TAKEOVER, !params.client.takeover);
            text.bits(SERVER_MAX_WINDOW_BITS, says_server_bits.then_some(server_bits));
            text.bits(CLIENT_MAX_WINDOW_BITS, (client_bits < LARGEST).then_some(client_bits));
        });
        Some(Agreement { params, answer })
    }

    /// The value of a client's Sec-WebSocket-Extensions. It always says that the server may limit the client's window, and
    /// names no limit of its own: that would be a hint, and there are servers that answer with a larger one.
    pub fn offer(&self) -> HeaderValue {
        let server_bits = (self.incoming.bits < LARGEST).then_some(self.incoming.bits);
        HeaderValue::new(|text| {
            text.flag(SERVER_NO_CONTEXT_TAKEOVER, !self.incoming.takeover);
            text.flag(CLIENT_NO_CONTEXT_TAKEOVER, !self.outgoing.takeover);
            text.bits(SERVER_MAX_WINDOW_BITS, server_bits);
            text.flag(CLIENT_MAX_WINDOW_BITS, true);
        })
    }

    /// Checks a server's answer to the [`offer`](Self::offer). `None`: the server has declined, and messages are not
    /// compressed.
    ///
    /// [`Params::client`] may have fewer bits than [`outgoing_smallest`](Self::outgoing_smallest): then this client must
    /// not compress what it sends, which nobody can demand of it (RFC 7692 6).
    ///
    /// # Errors
    /// [`HandshakeError::ExtensionParameters`]: the connection must be failed (RFC 7692 7.1).
    pub fn check(&self, answer: ExtensionOffers<'_>) -> Result<Option<Params>, HandshakeError> {
        let mut chosen = answer.filter(|extension| extension.name() == NAME);
        let Some(extension) = chosen.next() else { return Ok(None) };
        let answered = Offered::of(&extension).ok_or(HandshakeError::ExtensionParameters)?;
        // RFC 7692 5.1: two of one kind cannot be in use together.
        if chosen.next().is_some() || !self.is_answered_by(&answered) {
            return Err(HandshakeError::ExtensionParameters);
        }
        Ok(Some(Params {
            server: Window {
                bits: answered.server_bits.limit(),
                takeover: !answered.server_no_context_takeover,
            },
            client: Window {
                bits: self.outgoing.bits.min(answered.client_bits.limit()),
                takeover: self.outgoing.takeover && !answered.client_no_context_takeover,
            },
        }))
    }

    fn is_answered_by(&self, answered: &Offered) -> bool {
        // 7.1.2.1, 7.1.2.2: in an answer both have a value.
        answered.server_bits != Bits::Open
            && answered.client_bits != Bits::Open
            // 7.1.1.1, 7.1.2.1: what was demanded is granted, or the offer has not been accepted.
            && answered.server_bits.limit() <= self.incoming.bits
            && (self.incoming.takeover || answered.server_no_context_takeover)
    }
}

/// What a server has agreed to, and how it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// What holds for the connection.
    pub params: Params,
    /// The value of Sec-WebSocket-Extensions in the response
    /// ([`AcceptOptions::extensions`](crate::handshake::AcceptOptions::extensions)).
    pub answer: HeaderValue,
}

/// The value of a window parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bits {
    Absent,
    /// Without a value.
    Open,
    Limit(u8),
}

impl Bits {
    const fn limit(self) -> u8 {
        match self {
            Self::Limit(bits) => bits,
            Self::Absent | Self::Open => LARGEST,
        }
    }
}

/// The parameters of an offer or an answer, well-formed.
#[derive(Debug)]
struct Offered {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_bits: Bits,
    client_bits: Bits,
}

impl Offered {
    /// RFC 7692 7.1: unknown parameters, values that are none and repetitions make an offer unacceptable and an answer
    /// a failure.
    fn of(extension: &ExtensionOffer<'_>) -> Option<Self> {
        let mut offered = Self {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_bits: Bits::Absent,
            client_bits: Bits::Absent,
        };
        extension.params().all(|param| offered.add(&param)).then_some(offered)
    }

    /// Whether the parameter is a legal one that has not come before.
    fn add(&mut self, param: &ExtensionParam<'_>) -> bool {
        let bits = match param.value {
            None => Some(Bits::Open),
            Some(value) => window_bits(value).map(Bits::Limit),
        };
        match (param.name, bits) {
            // 7.1.1: these two have no value.
            (SERVER_NO_CONTEXT_TAKEOVER, Some(Bits::Open)) => first(&mut self.server_no_context_takeover),
            (CLIENT_NO_CONTEXT_TAKEOVER, Some(Bits::Open)) => first(&mut self.client_no_context_takeover),
            // 7.1.2.1: always with a value. 7.1.2.2: in an offer also without.
            (SERVER_MAX_WINDOW_BITS, Some(bits @ Bits::Limit(_))) => set(&mut self.server_bits, bits),
            (CLIENT_MAX_WINDOW_BITS, Some(bits)) => set(&mut self.client_bits, bits),
            _ => false,
        }
    }
}

fn first(flag: &mut bool) -> bool {
    !core::mem::replace(flag, true)
}

fn set(bits: &mut Bits, value: Bits) -> bool {
    core::mem::replace(bits, value) == Bits::Absent
}

/// RFC 7692 7.1.2.1: a decimal number from 8 to 15 without leading zeros.
fn window_bits(value: ParamValue<'_>) -> Option<u8> {
    const VALUES: [&str; 8] = ["8", "9", "10", "11", "12", "13", "14", "15"];
    (SMALLEST..=LARGEST).zip(VALUES).find_map(|(bits, text)| (value == text).then_some(bits))
}

/// The value of a Sec-WebSocket-Extensions header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HeaderValue {
    text: [u8; Self::CAPACITY],
    len: u8,
}

impl HeaderValue {
    /// The name, and all four parameters with values of two digits.
    const CAPACITY: usize = 128;

    fn new(fill: impl FnOnce(&mut Self)) -> Self {
        let mut value = Self { text: [0; Self::CAPACITY], len: 0 };
        value.put(NAME.as_bytes());
        fill(&mut value);
        value
    }

    /// The value.
    pub fn as_str(&self) -> &str {
        let text = self.text.get(..usize::from(self.len)).unwrap_or_default();
        // Nothing but ASCII was put there.
        core::str::from_utf8(text).unwrap_or_default()
    }

    fn put(&mut self, bytes: &[u8]) {
        let room = self.text.get_mut(usize::from(self.len)..).unwrap_or_default();
        for (to, from) in room.iter_mut().zip(bytes) {
            *to = *from;
            self.len = self.len.wrapping_add(1);
        }
    }

    fn flag(&mut self, name: &str, said: bool) {
        if said {
            self.put(b"; ");
            self.put(name.as_bytes());
        }
    }

    fn bits(&mut self, name: &str, bits: Option<u8>) {
        let Some(bits) = bits else { return };
        self.flag(name, true);
        self.put(b"=");
        if bits >= 10 {
            self.put(b"1");
        }
        self.put(&[b'0'.wrapping_add(bits % 10)]);
    }
}

impl fmt::Debug for HeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for HeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_value_fits() {
        let least = Settings { outgoing_smallest: 8, ..Settings::both(Window::fresh(10)) };
        let longest = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
            server_max_window_bits=10; client_max_window_bits=10";
        let agreement = least.accept(ExtensionOffers::of(least.offer().as_str())).unwrap();
        assert_eq!(agreement.answer.as_str(), longest);
        assert!(longest.len() <= HeaderValue::CAPACITY && longest.len() < 256);
    }
}
