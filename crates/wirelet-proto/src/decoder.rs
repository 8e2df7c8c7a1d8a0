//! Frames out of bytes: incremental, in place, strict.

use crate::frame::{FrameHeader, MAX_CONTROL_PAYLOAD, MAX_HEADER, MessageKind, OpCode, Role};
use crate::{ProtocolError, kernels};

/// Takes a stream of bytes apart into frame headers and unmasked payload.
///
/// It owns no buffer: 32 bytes of state, of which up to 13 hold the beginning of a header that has not
/// arrived completely. All that can be checked about a frame by itself and by the order of frames is checked
/// here, with the first byte that gives it away; UTF-8, close payloads and limits are the connection's.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// Payload of the current frame that has not arrived.
    remaining: u64,
    /// The masking key, turned to the next byte.
    key: [u8; 4],
    /// The beginning of a header.
    spill: [u8; MAX_HEADER],
    spilled: u8,
    in_payload: bool,
    in_message: bool,
    rsv1_allowed: bool,
    role: Role,
}

/// What [`Decoder::decode`] found at the front of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// All of the input is consumed; more is needed.
    NeedInput,
    /// A header. Its payload follows, in at least one [`Payload`](Self::Payload).
    Header(FrameHeader),
    /// Payload of the last header: all the bytes that were consumed, unmasked in place.
    Payload {
        /// The bytes are known to be ASCII.
        ascii: bool,
        /// The frame is complete.
        end: bool,
    },
}

/// A header with its masking key and its length on the wire.
struct Parsed {
    header: FrameHeader,
    key: [u8; 4],
    wire_len: usize,
}

impl Decoder {
    /// For the endpoint `role`: a server expects masked frames, a client unmasked ones.
    pub const fn new(role: Role) -> Self {
        Self {
            remaining: 0,
            key: [0; 4],
            spill: [0; MAX_HEADER],
            spilled: 0,
            in_payload: false,
            in_message: false,
            rsv1_allowed: false,
            role,
        }
    }

    /// Lets RSV1 stand on the first frame of a message: an extension that gives it a meaning was negotiated.
    pub const fn allow_rsv1(&mut self) {
        self.rsv1_allowed = true;
    }

    /// Payload bytes of the current frame that have not arrived.
    pub const fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Whether a frame has begun and not ended, be it inside its header.
    #[inline]
    pub(crate) const fn is_inside_frame(&self) -> bool {
        self.in_payload || self.spilled > 0
    }

    /// Whether the next byte begins a frame that may begin a message.
    #[inline]
    pub(crate) const fn is_between_messages(&self) -> bool {
        !self.is_inside_frame() && !self.in_message
    }

    /// Takes the next thing off the front of `input`; answers it with the number of bytes consumed.
    ///
    /// # Errors
    /// The peer broke the protocol. The stream can't be followed any further.
    #[inline]
    pub fn decode(&mut self, input: &mut [u8]) -> Result<(Decoded, usize), ProtocolError> {
        if self.in_payload { Ok(self.payload(input)) } else { self.header(input) }
    }

    #[inline]
    fn payload(&mut self, input: &mut [u8]) -> (Decoded, usize) {
        let len = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(input.len());
        if len == 0 && self.remaining > 0 {
            return (Decoded::NeedInput, 0);
        }
        let ascii = match self.role {
            // RFC 6455 5.3: the same algorithm masks and unmasks.
            Role::Server => kernels::unmask(input.get_mut(..len).unwrap_or_default(), self.key),
            Role::Client => false,
        };
        self.remaining = self.remaining.wrapping_sub(len as u64);
        let end = self.remaining == 0;
        if end {
            self.in_payload = false;
        } else {
            self.key = kernels::rotate(self.key, len);
        }
        (Decoded::Payload { ascii, end }, len)
    }

    #[inline]
    fn header(&mut self, input: &[u8]) -> Result<(Decoded, usize), ProtocolError> {
        let before = usize::from(self.spilled);
        let mut spill = self.spill;
        let bytes = if before == 0 { input } else { appended(&mut spill, before, input) };
        match self.parse(bytes)? {
            Some(parsed) => {
                self.spilled = 0;
                Ok((self.begin(&parsed), parsed.wire_len.saturating_sub(before)))
            }
            None => {
                self.spilled = appended(&mut self.spill, before, input).len() as u8;
                Ok((Decoded::NeedInput, input.len()))
            }
        }
    }

    #[inline]
    fn begin(&mut self, parsed: &Parsed) -> Decoded {
        let header = parsed.header;
        self.in_payload = true;
        self.remaining = header.len;
        self.key = parsed.key;
        if !header.opcode.is_control() {
            self.in_message = !header.fin;
        }
        Decoded::Header(header)
    }

    /// Reads a header off the front of `bytes`; `None` when it is not complete and nothing is wrong so far.
    #[inline]
    fn parse(&self, bytes: &[u8]) -> Result<Option<Parsed>, ProtocolError> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        let opcode = self.check_first(first)?;
        let Some((&second, rest)) = rest.split_first() else { return Ok(None) };
        self.check_second(second, opcode)?;
        let Some((len, rest)) = payload_len(second & 0x7f, rest)? else { return Ok(None) };
        let (key, rest) = match self.role {
            Role::Client => ([0; 4], rest),
            Role::Server => match rest.split_first_chunk::<4>() {
                Some((key, rest)) => (*key, rest),
                None => return Ok(None),
            },
        };
        let header = FrameHeader { opcode, fin: first & 0x80 != 0, rsv1: first & 0x40 != 0, len };
        Ok(Some(Parsed { header, key, wire_len: bytes.len().wrapping_sub(rest.len()) }))
    }

    #[inline]
    fn check_first(&self, first: u8) -> Result<OpCode, ProtocolError> {
        // RFC 6455 5.2: the RSV bits MUST be 0 unless an extension is negotiated that defines them;
        // an unknown opcode fails the connection.
        let Some(opcode) = OpCode::from_bits(first & 0x0f) else { return Err(ProtocolError::ReservedOpCode) };
        // RFC 7692 6: RSV1 stands on the first frame of a message alone, never on control frames.
        let rsv1_allowed = self.rsv1_allowed && matches!(opcode, OpCode::Text | OpCode::Binary);
        if first & 0x30 != 0 || (first & 0x40 != 0 && !rsv1_allowed) {
            return Err(ProtocolError::ReservedBits);
        }
        match opcode {
            // RFC 6455 5.4: a continuation continues a message, which nothing but control frames may interrupt.
            OpCode::Continuation if !self.in_message => Err(ProtocolError::ContinuationOutsideMessage),
            OpCode::Text | OpCode::Binary if self.in_message => Err(ProtocolError::MessageInsideMessage),
            // RFC 6455 5.5: control frames MUST NOT be fragmented.
            OpCode::Close | OpCode::Ping | OpCode::Pong if first & 0x80 == 0 => {
                Err(ProtocolError::ControlFragmented)
            }
            _ => Ok(opcode),
        }
    }

    #[inline]
    fn check_second(&self, second: u8, opcode: OpCode) -> Result<(), ProtocolError> {
        // RFC 6455 5.1: a client masks every frame, a server none; the receiver closes otherwise.
        match (self.role, second & 0x80 != 0) {
            (Role::Server, false) => return Err(ProtocolError::Unmasked),
            (Role::Client, true) => return Err(ProtocolError::Masked),
            _ => {}
        }
        // RFC 6455 5.5: control frames MUST have a payload of 125 bytes or less.
        if opcode.is_control() && usize::from(second & 0x7f) > MAX_CONTROL_PAYLOAD {
            return Err(ProtocolError::ControlTooLong);
        }
        Ok(())
    }
}

/// `input` behind the first bytes of a header, as far as there is room; answers both.
#[cold]
fn appended<'s>(spill: &'s mut [u8; MAX_HEADER], before: usize, input: &[u8]) -> &'s [u8] {
    let mut len = before;
    for (to, from) in spill.iter_mut().skip(before).zip(input) {
        *to = *from;
        len = len.wrapping_add(1);
    }
    spill.get(..len).unwrap_or_default()
}

/// A data message in one frame that has arrived completely.
pub(crate) struct WholeFrame {
    pub(crate) kind: MessageKind,
    pub(crate) key: [u8; 4],
    pub(crate) header_len: usize,
    /// Payload, bytes.
    pub(crate) len: usize,
}

impl WholeFrame {
    /// The frame at the front of `bytes`, if it is one of the most frequent kind: a short header, nothing special,
    /// everything there. `None` says nothing about a frame: [`Decoder::decode`] has the rules.
    #[inline]
    pub(crate) fn recognise(bytes: &[u8], role: Role) -> Option<Self> {
        let (&[first, second], rest) = bytes.split_first_chunk::<2>()?;
        let kind = match first {
            0x81 => MessageKind::Text,
            0x82 => MessageKind::Binary,
            _ => return None,
        };
        // The bit for a key, turned round where none is expected.
        let short = match role {
            Role::Server => second ^ 0x80,
            Role::Client => second,
        };
        let (len, rest) = match short {
            0..=125 => (usize::from(short), rest),
            126 => {
                let (len, rest) = rest.split_first_chunk::<2>()?;
                (usize::from(u16::from_be_bytes(*len)), rest)
            }
            _ => return None,
        };
        let (key, rest) = match role {
            Role::Server => rest.split_first_chunk::<4>().map(|(key, rest)| (*key, rest))?,
            Role::Client => ([0; 4], rest),
        };
        let is_minimal = short < 126 || len > 125;
        let header_len = bytes.len().wrapping_sub(rest.len());
        (is_minimal && rest.len() >= len).then_some(Self { kind, key, header_len, len })
    }
}

/// The payload length whose first seven bits are `short`, and what follows it.
#[inline]
fn payload_len(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, ProtocolError> {
    let (len, rest, least) = match short {
        126 => match rest.split_first_chunk::<2>() {
            Some((len, rest)) => (u64::from(u16::from_be_bytes(*len)), rest, 126),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk::<8>() {
            Some((len, rest)) => (u64::from_be_bytes(*len), rest, 65536),
            None => return Ok(None),
        },
        short => (u64::from(short), rest, 0),
    };
    // RFC 6455 5.2: the minimal number of bytes MUST be used; the most significant bit MUST be 0.
    if len < least {
        return Err(ProtocolError::LengthNotMinimal);
    }
    if len >> 63 != 0 {
        return Err(ProtocolError::LengthTopBit);
    }
    Ok(Some((len, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(role: Role, wire: &[u8]) -> Result<(Decoded, usize), ProtocolError> {
        Decoder::new(role).decode(&mut wire.to_vec())
    }

    #[test]
    fn state_is_small() {
        assert!(size_of::<Decoder>() <= 32, "{}", size_of::<Decoder>());
    }

    #[test]
    fn a_header_is_refused_by_its_first_telling_byte() {
        use ProtocolError::*;
        for (wire, error) in [
            (&[0xc1][..], ReservedBits),
            (&[0xa1], ReservedBits),
            (&[0x91], ReservedBits),
            (&[0x83], ReservedOpCode),
            (&[0x8b], ReservedOpCode),
            (&[0x09], ControlFragmented),
            (&[0x80], ContinuationOutsideMessage),
            (&[0x81, 0x05], Unmasked),
            (&[0x89, 0xfe], ControlTooLong),
            (&[0x82, 0xfe, 0, 125], LengthNotMinimal),
            (&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], LengthNotMinimal),
            (&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], LengthTopBit),
        ] {
            assert_eq!(one(Role::Server, wire), Err(error), "{wire:x?}");
            let before = &wire[..wire.len() - 1];
            assert_eq!(one(Role::Server, before), Ok((Decoded::NeedInput, before.len())), "{wire:x?}");
        }
        assert_eq!(one(Role::Client, &[0x81, 0x85]), Err(Masked));
    }

    #[test]
    fn rsv1_stands_on_first_frames_only_and_only_when_allowed() {
        let mut decoder = Decoder::new(Role::Client);
        decoder.allow_rsv1();
        let header = FrameHeader { opcode: OpCode::Text, fin: false, rsv1: true, len: 0 };
        assert_eq!(decoder.decode(&mut [0x41, 0]), Ok((Decoded::Header(header), 2)));
        assert_eq!(decoder.decode(&mut []), Ok((Decoded::Payload { ascii: false, end: true }, 0)));
        assert_eq!(decoder.clone().decode(&mut [0x40, 0]), Err(ProtocolError::ReservedBits));
        assert_eq!(decoder.decode(&mut [0xc9, 0]), Err(ProtocolError::ReservedBits));
    }

    #[test]
    fn a_message_may_not_begin_inside_another() {
        let mut decoder = Decoder::new(Role::Client);
        assert!(matches!(decoder.decode(&mut [0x01, 0]), Ok((Decoded::Header(_), 2))));
        assert!(matches!(decoder.decode(&mut []), Ok((Decoded::Payload { end: true, .. }, 0))));
        assert!(matches!(decoder.clone().decode(&mut [0x89, 0]), Ok((Decoded::Header(_), 2))));
        assert_eq!(decoder.decode(&mut [0x82]), Err(ProtocolError::MessageInsideMessage));
    }

    #[test]
    fn lengths_of_any_size_are_read_without_being_trusted() {
        let mut wire = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4];
        let header = FrameHeader { opcode: OpCode::Binary, fin: true, rsv1: false, len: u64::MAX >> 1 };
        let mut decoder = Decoder::new(Role::Server);
        assert_eq!(decoder.decode(&mut wire), Ok((Decoded::Header(header), 14)));
        assert_eq!(decoder.remaining(), u64::MAX >> 1);
        assert_eq!(decoder.decode(&mut []), Ok((Decoded::NeedInput, 0)));
    }
}
