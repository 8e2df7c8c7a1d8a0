//! A slow, obvious decoder: the whole input at once, written from the RFC, sharing nothing with the core.

use crate::trace::Seen;
use wirelet_proto::Role;

/// What the receiver allows.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Who receives: a server wants masked frames, a client unmasked ones.
    pub role: Role,
    /// Payload of one frame, bytes.
    pub frame: u64,
    /// Payload of one message, bytes.
    pub message: u64,
    /// Frames of one message.
    pub fragments: u32,
}

impl Rules {
    /// The core's default limits.
    pub const fn new(role: Role) -> Self {
        Self { role, frame: u64::MAX, message: 1 << 20, fragments: 131_072 }
    }
}

/// How the input ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// More may come.
    Open,
    /// With a close frame; what follows it is ignored.
    Closed,
    /// The receiver must fail the connection with this close code.
    Failed(u16),
}

/// All that the input means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Messages and control frames in the order of their last byte.
    pub seen: Vec<Seen>,
    /// The end.
    pub end: End,
}

impl Outcome {
    /// The control frames that the receiver must answer with, when it answers each at once.
    pub fn answers(&self) -> Vec<Seen> {
        let mut answers: Vec<Seen> = self.seen.iter().filter_map(answer).collect();
        if let End::Failed(code) = self.end {
            answers.push(Seen::Close(Some((code, String::new()))));
        }
        answers
    }
}

fn answer(seen: &Seen) -> Option<Seen> {
    match seen {
        Seen::Ping(payload) => Some(Seen::Pong(payload.clone())),
        Seen::Close(None) => Some(Seen::Close(None)),
        Seen::Close(Some((code, _))) => Some(Seen::Close(Some((*code, String::new())))),
        _ => None,
    }
}

/// A fragmented message that has begun.
struct Message {
    opcode: u8,
    frames: u32,
    payload: Vec<u8>,
}

/// Decodes all of `wire`.
pub fn decode(rules: &Rules, mut wire: &[u8]) -> Outcome {
    let mut seen = Vec::new();
    let mut message = None;
    let end = loop {
        match frame(rules, wire, &mut message, &mut seen) {
            Ok(Some(_)) if matches!(seen.last(), Some(Seen::Close(_))) => break End::Closed,
            Ok(Some(len)) => wire = &wire[len..],
            Ok(None) => break End::Open,
            Err(code) => break End::Failed(code),
        }
    };
    Outcome { seen, end }
}

/// One frame: its length on the wire, `None` when it is not complete, or a close code.
fn frame(
    rules: &Rules,
    wire: &[u8],
    message: &mut Option<Message>,
    seen: &mut Vec<Seen>,
) -> Result<Option<usize>, u16> {
    let Some(&first) = wire.first() else { return Ok(None) };
    let (fin, opcode) = (first >= 128, first % 16);
    let control = opcode >= 8;
    let known = [0, 1, 2, 8, 9, 10].contains(&opcode);
    let in_order = control || (opcode == 0) == message.is_some();
    if first / 16 % 8 != 0 || !known || !in_order || (control && !fin) {
        return Err(1002);
    }
    let Some(&second) = wire.get(1) else { return Ok(None) };
    let short = second % 128;
    if (second >= 128) != (rules.role == Role::Server) || (control && short > 125) {
        return Err(1002);
    }
    let extended = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if wire.len() < 2 + extended {
        return Ok(None);
    }
    let mut len = u64::from(short);
    if extended > 0 {
        len = wire[2..2 + extended].iter().fold(0, |len, byte| len * 256 + u64::from(*byte));
        let shortest = if extended == 2 { 126 } else { 65536 };
        if len < shortest || len > i64::MAX as u64 {
            return Err(1002);
        }
    }
    let key_at = 2 + extended;
    let payload_at = if rules.role == Role::Server { key_at + 4 } else { key_at };
    if wire.len() < payload_at {
        return Ok(None);
    }
    let key = if rules.role == Role::Server { &wire[key_at..payload_at] } else { &[0; 4] };
    if !control {
        let so_far = message.get_or_insert(Message { opcode, frames: 0, payload: Vec::new() });
        so_far.frames += 1;
        if len > rules.frame || so_far.payload.len() as u64 + len > rules.message {
            return Err(1009);
        }
        if so_far.frames > rules.fragments {
            return Err(1008);
        }
    }
    let arrived = &wire[payload_at..];
    let complete = arrived.len() as u64 >= len;
    let arrived = if complete { &arrived[..len as usize] } else { arrived };
    let payload: Vec<u8> = arrived.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
    if control {
        if !complete {
            return Ok(None);
        }
        seen.push(control_frame(opcode, payload)?);
        return Ok(Some(payload_at + len as usize));
    }
    let Some(mut whole) = message.take() else { unreachable!("made above") };
    whole.payload.extend(payload);
    let ends = complete && fin;
    if whole.opcode == 1
        && let Err(error) = std::str::from_utf8(&whole.payload)
        && (ends || error.error_len().is_some())
    {
        return Err(1007);
    }
    if ends {
        seen.push(match whole.opcode {
            1 => Seen::Text(String::from_utf8(whole.payload).map_err(|_| 1007_u16)?),
            _ => Seen::Binary(whole.payload),
        });
    } else {
        *message = Some(whole);
    }
    Ok(complete.then(|| payload_at + len as usize))
}

fn control_frame(opcode: u8, payload: Vec<u8>) -> Result<Seen, u16> {
    match opcode {
        9 => return Ok(Seen::Ping(payload)),
        10 => return Ok(Seen::Pong(payload)),
        _ if payload.is_empty() => return Ok(Seen::Close(None)),
        _ if payload.len() == 1 => return Err(1002),
        _ => {}
    }
    let code = u16::from(payload[0]) * 256 + u16::from(payload[1]);
    let defined = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
    if !defined.contains(&code) && !(3000..5000).contains(&code) {
        return Err(1002);
    }
    let reason = String::from_utf8(payload[2..].to_vec()).map_err(|_| 1007_u16)?;
    Ok(Seen::Close(Some((code, reason))))
}
