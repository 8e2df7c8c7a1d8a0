//! Frame headers (RFC 6455 5.2): what they are made of, and how they are written.

use core::ops::Deref;

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Role {
    /// The endpoint that opened the connection. It masks what it sends.
    Client,
    /// The endpoint that was connected to. It never masks.
    Server,
}

/// What a frame is (RFC 6455 5.2, "opcode").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum OpCode {
    /// A further fragment of a message.
    Continuation = 0x0,
    /// A text message or its first fragment.
    Text = 0x1,
    /// A binary message or its first fragment.
    Binary = 0x2,
    /// A close frame.
    Close = 0x8,
    /// A ping.
    Ping = 0x9,
    /// A pong.
    Pong = 0xA,
}

impl OpCode {
    /// The opcode with the number `bits` (0–15); `None` when it is reserved.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    /// Close, ping or pong.
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// The type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum MessageKind {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
}

impl MessageKind {
    /// The opcode of a message's first frame.
    pub const fn opcode(self) -> OpCode {
        match self {
            Self::Text => OpCode::Text,
            Self::Binary => OpCode::Binary,
        }
    }
}

/// The longest frame header: 2 bytes, 8 of length, 4 of masking key.
pub const MAX_HEADER: usize = 14;

/// The longest payload of a control frame (RFC 6455 5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// A frame header that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FrameHeader {
    /// What the frame is.
    pub opcode: OpCode,
    /// Whether it is the last frame of its message.
    pub fin: bool,
    /// The first reserved bit, which permessage-deflate uses (RFC 7692 6).
    pub rsv1: bool,
    /// Payload, bytes.
    pub len: u64,
}

/// A frame header to be sent: at most 14 bytes, on the stack.
// Aligned, so that a chip whose words have to be writes the zeros in four stores, not fourteen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(4))]
pub struct FrameHead {
    bytes: [u8; MAX_HEADER],
    len: u8,
}

impl FrameHead {
    /// The header of a frame with `len` payload bytes; masked when there is a `key`.
    #[inline]
    pub(crate) fn new(opcode: OpCode, fin: bool, rsv1: bool, len: u64, key: Option<[u8; 4]>) -> Self {
        let mut head = Self { bytes: [0; MAX_HEADER], len: 2 };
        let [first, second, rest @ ..] = &mut head.bytes;
        *first = opcode as u8 | u8::from(fin) << 7 | u8::from(rsv1) << 6;
        // RFC 6455 5.2: the minimal number of bytes MUST be used to encode the length.
        *second = match len {
            0..=125 => len as u8,
            126..=0xffff => {
                let [high, low, ..] = rest;
                [*high, *low] = (len as u16).to_be_bytes();
                head.len = 4;
                126
            }
            _ => {
                if let Some(long) = rest.first_chunk_mut() {
                    *long = len.to_be_bytes();
                }
                head.len = 10;
                127
            }
        };
        if let Some(key) = key {
            *second |= 0x80;
            let end = usize::from(head.len);
            if let Some(to) = head.bytes.get_mut(end..).and_then(|rest| rest.first_chunk_mut()) {
                *to = key;
            }
            head.len = head.len.wrapping_add(4);
        }
        head
    }
}

impl Deref for FrameHead {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn head(len: u64, key: Option<[u8; 4]>) -> Vec<u8> {
        FrameHead::new(OpCode::Binary, true, false, len, key).to_vec()
    }

    #[test]
    fn lengths_take_their_shortest_form() {
        assert_eq!(head(0, None), [0x82, 0]);
        assert_eq!(head(125, None), [0x82, 125]);
        assert_eq!(head(126, None), [0x82, 126, 0, 126]);
        assert_eq!(head(65535, None), [0x82, 126, 0xff, 0xff]);
        assert_eq!(head(65536, None), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(head(u64::MAX >> 1, None)[2..], [0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn a_key_sets_the_mask_bit_and_ends_the_header() {
        assert_eq!(head(5, Some([1, 2, 3, 4])), [0x82, 0x85, 1, 2, 3, 4]);
        assert_eq!(head(1 << 40, Some([1, 2, 3, 4])).len(), MAX_HEADER);
    }

    #[test]
    fn bits_and_opcodes() {
        assert_eq!(FrameHead::new(OpCode::Continuation, false, true, 0, None)[0], 0x40);
        let known: Vec<u8> = (0..16).filter(|b| OpCode::from_bits(*b).is_some()).collect();
        assert_eq!(known, [0, 1, 2, 8, 9, 10]);
        assert!(known.iter().all(|b| OpCode::from_bits(*b).unwrap() as u8 == *b));
        assert!(OpCode::Pong.is_control() && !OpCode::Binary.is_control());
    }
}
