//! What is sent: 64 JSON documents of 1 KiB, compressed and masked once, before the measurement.

use std::fmt::Write;
use std::str::FromStr;

use flate2::{Compress, Compression, FlushCompress};

/// Bytes of every document.
pub(crate) const LENGTH: usize = 1024;
/// So many that a window of 32 KiB has forgotten a document when it comes again.
pub(crate) const DOCUMENTS: usize = 64;
/// The level that browsers and most libraries compress with.
const LEVEL: u32 = 6;
const KEY: [u8; 4] = [0x9d, 0x27, 0xe1, 0x5c];

/// How the extension is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// Not at all.
    Plain,
    /// As Chromium and Firefox offer it.
    Browser,
    /// Without context takeover, in both directions.
    Reset,
    /// Without parameters: contexts are kept unless the server says otherwise.
    Takeover,
}

/// How the load compresses, as the server has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) bits: u8,
    pub(crate) takeover: bool,
}

/// The documents and the frames that carry them.
pub(crate) struct Traffic {
    pub(crate) documents: Vec<String>,
    /// The frames of the first round.
    pub(crate) first: Vec<Vec<u8>>,
    /// Those of every round after it. With context takeover they differ from the first ones; from then on a round finds
    /// the same window that the round before has found, so that its bytes are the same.
    pub(crate) again: Vec<Vec<u8>>,
}

impl Setting {
    /// The offer in the opening handshake.
    pub(crate) const fn offer(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Browser => Some("permessage-deflate; client_max_window_bits"),
            Self::Reset => Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
            Self::Takeover => Some("permessage-deflate"),
        }
    }
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "plain" => Ok(Self::Plain),
            "browser" => Ok(Self::Browser),
            "reset" => Ok(Self::Reset),
            "takeover" => Ok(Self::Takeover),
            _ => Err(format!("{word}: plain, browser, reset or takeover is expected")),
        }
    }
}

impl Traffic {
    /// The frames for an agreement; `None`: nothing is compressed.
    pub(crate) fn new(window: Option<Window>) -> Self {
        let documents = documents();
        let mut context = window.map(|window| (context(window.bits), window.takeover));
        let mut round = || -> Vec<_> {
            let carry = |document: &String| match &mut context {
                None => frame(0x81, document.as_bytes()),
                Some((context, takeover)) => {
                    let payload = compress(context, document.as_bytes());
                    if !*takeover {
                        context.reset();
                    }
                    frame(0xc1, &payload)
                }
            };
            documents.iter().map(carry).collect()
        };
        let (first, again) = (round(), round());
        Self { documents, first, again }
    }
}

/// A compressor with a window of 2^`bits` bytes.
pub(crate) fn context(bits: u8) -> Compress {
    Compress::new_with_window_bits(Compression::new(LEVEL), false, bits)
}

/// A message's payload: RFC 7692 7.2.1.
pub(crate) fn compress(context: &mut Compress, plain: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::with_capacity(2 * plain.len() + 64);
    let before = context.total_in();
    context.compress_vec(plain, &mut compressed, FlushCompress::Sync).expect("a fresh context compresses");
    assert_eq!(context.total_in() - before, plain.len() as u64, "the room is enough for all of it");
    assert!(compressed.ends_with(&[0, 0, 0xff, 0xff]), "a sync flush ends in an empty stored block");
    compressed.truncate(compressed.len() - 4);
    compressed
}

/// A client's frame: RFC 6455 5.2.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&u16::try_from(length).expect("documents are short").to_be_bytes());
        }
    }
    frame.extend_from_slice(&KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// Quotations as a market's server sends them: many names again, few numbers twice.
fn documents() -> Vec<String> {
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    (0..DOCUMENTS).map(|number| document(number, &mut chance)).collect()
}

fn document(number: usize, chance: &mut Chance) -> String {
    const NAMES: [&str; 12] = [
        "Aluminium",
        "Barley",
        "Cobalt",
        "Copper",
        "Cotton",
        "Gasoil",
        "Nickel",
        "Palladium",
        "Rapeseed",
        "Silver",
        "Wheat",
        "Zinc",
    ];
    const STATES: [&str; 4] = ["open", "auction", "halted", "closed"];
    let mut text = format!("{{\"type\":\"quotes\",\"sequence\":{},\"quotes\":[", 81_233 + number);
    let mut separator = "";
    loop {
        let mut quote = String::new();
        let (name, state) = (NAMES[chance.below(12) as usize], STATES[chance.below(4) as usize]);
        let (euros, cents, change) = (chance.below(9_000) + 100, chance.below(100), chance.below(800));
        write!(
            quote,
            "{separator}{{\"id\":\"{:08x}\",\"name\":\"{name}\",\"state\":\"{state}\",\"price\":{euros}.{cents:02},\
             \"change\":{:.2},\"volume\":{},\"time\":\"2026-11-26T09:{:02}:{:02}.{:03}Z\"}}",
            chance.below(1 << 32),
            change as f64 / 100.0 - 4.0,
            chance.below(2_000_000),
            chance.below(60),
            chance.below(60),
            chance.below(1_000),
        )
        .expect("a string takes everything");
        // Room for the end of the array and a note of any length.
        if text.len() + quote.len() + "],\"note\":\"\"}".len() > LENGTH {
            break;
        }
        text.push_str(&quote);
        separator = ",";
    }
    text.push_str("],\"note\":\"");
    while text.len() < LENGTH - 2 {
        text.push(char::from(b'a' + chance.below(26) as u8));
    }
    text.push_str("\"}");
    text
}

/// Numbers that look random and are the same in every run (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_different_and_of_one_length() {
        let documents = documents();
        assert!(documents.iter().all(|document| document.len() == LENGTH));
        let mut sorted = documents.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), DOCUMENTS);
    }

    #[test]
    fn rounds_repeat_from_the_second_one_on() {
        let documents = documents();
        let mut context = context(15);
        let mut round = || documents.iter().map(|d| compress(&mut context, d.as_bytes())).collect::<Vec<_>>();
        let rounds = [round(), round(), round()];
        let mut inflate = flate2::Decompress::new(false);
        // The second round's bytes, sent for ever, mean the same documents.
        for round in [&rounds[0], &rounds[1], &rounds[1], &rounds[1]] {
            for (payload, document) in round.iter().zip(&documents) {
                let mut plain = Vec::with_capacity(2 * LENGTH);
                for part in [payload.as_slice(), &[0, 0, 0xff, 0xff]] {
                    inflate.decompress_vec(part, &mut plain, flate2::FlushDecompress::Sync).unwrap();
                }
                assert_eq!(plain, document.as_bytes());
            }
        }
    }
}
