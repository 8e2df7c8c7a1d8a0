//! Frames in bytes, legal or not.

use wirelet_proto::Role;

/// The key that [`Frame::from`] masks with: the one of RFC 6455 5.7.
pub const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// How the payload length is written, whether that is its shortest form or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthForm {
    /// The shortest form that holds it.
    Shortest,
    /// 7 bits, then 16.
    Bits16,
    /// 7 bits, then 64.
    Bits64,
}

/// A frame under construction: by default final, unmasked, with an honest length in its shortest form.
#[derive(Clone, Debug)]
pub struct Frame {
    first: u8,
    key: Option<[u8; 4]>,
    form: LengthForm,
    announced: Option<u64>,
    payload: Vec<u8>,
}

impl Frame {
    /// Any opcode, any payload.
    pub fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        assert!(opcode < 16);
        let payload = payload.as_ref().to_vec();
        Self { first: 0x80 | opcode, key: None, form: LengthForm::Shortest, announced: None, payload }
    }

    /// A text frame; the payload need not be text.
    pub fn text(payload: impl AsRef<[u8]>) -> Self {
        Self::new(1, payload)
    }

    /// A binary frame.
    pub fn binary(payload: impl AsRef<[u8]>) -> Self {
        Self::new(2, payload)
    }

    /// A continuation frame.
    pub fn continuation(payload: impl AsRef<[u8]>) -> Self {
        Self::new(0, payload)
    }

    /// A ping.
    pub fn ping(payload: impl AsRef<[u8]>) -> Self {
        Self::new(9, payload)
    }

    /// A pong.
    pub fn pong(payload: impl AsRef<[u8]>) -> Self {
        Self::new(10, payload)
    }

    /// A close frame with a code and a reason; the reason need not be text.
    pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Self {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(reason.as_ref());
        Self::new(8, payload)
    }

    /// A close frame with an empty payload.
    pub fn close_empty() -> Self {
        Self::new(8, [])
    }

    /// Without FIN.
    pub fn fragment(mut self) -> Self {
        self.first &= 0x7f;
        self
    }

    /// With these reserved bits: 4 is RSV1, 2 is RSV2, 1 is RSV3.
    pub fn rsv(mut self, bits: u8) -> Self {
        self.first |= (bits & 7) << 4;
        self
    }

    /// With this masking key.
    pub fn masked(mut self, key: [u8; 4]) -> Self {
        self.key = Some(key);
        self
    }

    /// As `role` must send it: a client masks, a server does not (RFC 6455 5.1).
    pub fn from(mut self, role: Role) -> Self {
        self.key = (role == Role::Client).then_some(KEY);
        self
    }

    /// With the payload length written in `form`.
    pub fn length_form(mut self, form: LengthForm) -> Self {
        self.form = form;
        self
    }

    /// With a header that announces `len` bytes, however many follow.
    pub fn announcing(mut self, len: u64) -> Self {
        self.announced = Some(len);
        self
    }

    /// The header on the wire.
    pub fn header(&self) -> Vec<u8> {
        let len = self.announced.unwrap_or(self.payload.len() as u64);
        let mask = if self.key.is_some() { 0x80 } else { 0 };
        let form = match (self.form, len) {
            (LengthForm::Shortest, 0..=125) => None,
            (LengthForm::Shortest, 126..=0xffff) => Some(LengthForm::Bits16),
            (LengthForm::Shortest, _) => Some(LengthForm::Bits64),
            (form, _) => Some(form),
        };
        let mut bytes = vec![self.first];
        match form {
            None => bytes.push(mask | len as u8),
            Some(LengthForm::Bits16) => {
                bytes.push(mask | 126);
                bytes.extend((len as u16).to_be_bytes());
            }
            Some(_) => {
                bytes.push(mask | 127);
                bytes.extend(len.to_be_bytes());
            }
        }
        bytes.extend(self.key.into_iter().flatten());
        bytes
    }

    /// The frame on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header();
        let key = self.key.unwrap_or_default();
        bytes.extend(self.payload.iter().zip(key.into_iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }
}

/// The frames one after the other, each as `role` must send it.
pub fn stream(role: Role, frames: impl IntoIterator<Item = Frame>) -> Vec<u8> {
    frames.into_iter().flat_map(|frame| frame.from(role).bytes()).collect()
}

/// The other end.
pub fn peer(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}

/// Both roles.
pub const ROLES: [Role; 2] = [Role::Client, Role::Server];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_written_as_asked_for() {
        assert_eq!(Frame::text("Hi").bytes(), [0x81, 2, b'H', b'i']);
        assert_eq!(Frame::ping("a").masked([1, 2, 3, 4]).bytes(), [0x89, 0x81, 1, 2, 3, 4, b'a' ^ 1]);
        assert_eq!(Frame::new(3, []).fragment().rsv(7).bytes(), [0x73, 0]);
        assert_eq!(Frame::binary([7]).length_form(LengthForm::Bits16).bytes(), [0x82, 126, 0, 1, 7]);
        assert_eq!(Frame::binary([]).announcing(1 << 63).header(), [0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Frame::close(1000, "x").bytes(), [0x88, 3, 3, 0xe8, b'x']);
    }
}
