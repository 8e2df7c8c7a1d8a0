//! Close codes, close frames and how a connection ended (RFC 6455 7).

use core::fmt;

use crate::SendError;
use crate::frame::MAX_CONTROL_PAYLOAD;

/// A close code (RFC 6455 7.4 and the IANA registry).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection has been fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server goes down or the browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: the kind of data can't be accepted.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1005: no code was in the close frame. Never on the wire.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: the connection ended without a close frame. Never on the wire.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: the data did not fit its type, as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a policy was violated and no other code fits.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: the message is too big.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1010: the server did not negotiate an extension that the client needs.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// 1011: the endpoint met an unexpected condition.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the service restarts.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: the service is overloaded, try again later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway got an invalid answer from its upstream.
    pub const BAD_GATEWAY: Self = Self(1014);
    /// 1015: the TLS handshake failed. Never on the wire.
    pub const TLS_HANDSHAKE: Self = Self(1015);

    /// 3008: the peer did not answer, or did not finish, in time.
    pub const TIMEOUT: Self = Self(3008);

    /// The code with the number `code`, whatever it is.
    pub const fn new(code: u16) -> Self {
        Self(code)
    }

    /// Whether the code may stand in a close frame: 1000–1003, 1007–1014, 3000–4999.
    pub const fn is_sendable(self) -> bool {
        // RFC 6455 7.4.1: 1004 is reserved; 1005, 1006 and 1015 MUST NOT be set in a close frame.
        // RFC 6455 7.4.2: 0–999 are not used, 1016–2999 are for extensions of the protocol, which would
        // have to be negotiated, 3000–3999 are registered, 4000–4999 are private.
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// The code in words, or `"unknown"`.
    pub const fn name(self) -> &'static str {
        match self.0 {
            1000 => "normal closure",
            1001 => "going away",
            1002 => "protocol error",
            1003 => "unsupported data",
            1005 => "no status received",
            1006 => "abnormal closure",
            1007 => "invalid payload data",
            1008 => "policy violation",
            1009 => "message too big",
            1010 => "mandatory extension",
            1011 => "internal error",
            1012 => "service restart",
            1013 => "try again later",
            1014 => "bad gateway",
            1015 => "TLS handshake",
            3000 => "unauthorized",
            3003 => "forbidden",
            3008 => "timeout",
            3001..=3999 => "registered code",
            4000..=4999 => "private code",
            _ => "unknown",
        }
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, self.name())
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

/// What a close frame says (RFC 6455 5.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseFrame<'a> {
    /// Why the connection is closed.
    pub code: CloseCode,
    /// For people and logs; at most 123 bytes.
    pub reason: &'a str,
}

impl CloseFrame<'_> {
    /// Whether it may be sent. [`CloseCode::NO_STATUS`] without a reason stands for a close frame without a code.
    ///
    /// # Errors
    /// [`SendError::InvalidCloseCode`] for a code that must not be sent, or a reason without code;
    /// [`SendError::TooLong`] for a reason of more than 123 bytes.
    pub fn check(&self) -> Result<(), SendError> {
        let empty = self.code == CloseCode::NO_STATUS && self.reason.is_empty();
        // RFC 6455 7.4: codes that are reserved or not used are not sent.
        if !self.code.is_sendable() && !empty {
            return Err(SendError::InvalidCloseCode);
        }
        // RFC 6455 5.5: control frames have a payload of 125 bytes or less.
        if self.reason.len().saturating_add(2) > MAX_CONTROL_PAYLOAD {
            return Err(SendError::TooLong);
        }
        Ok(())
    }
}

/// Who started the closing handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Initiator {
    /// This endpoint.
    Local,
    /// The peer.
    Remote,
}

/// How a connection ended, as far as it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CloseInfo {
    /// The code of the close frame that this endpoint sent; [`CloseCode::NO_STATUS`] for an empty one.
    pub sent: Option<CloseCode>,
    /// The code of the close frame that the peer sent; [`CloseCode::NO_STATUS`] for an empty one.
    pub received: Option<CloseCode>,
    /// Whose close frame came first; `None` when there was none.
    pub initiator: Option<Initiator>,
    /// Whether this endpoint failed the connection (RFC 6455 7.1.7).
    pub failed: bool,
}

impl CloseInfo {
    /// Whether both endpoints sent a close frame and none failed the connection (RFC 6455 7.1.4).
    pub const fn is_clean(&self) -> bool {
        self.sent.is_some() && self.received.is_some() && !self.failed
    }

    /// _The WebSocket Connection Close Code_ (RFC 6455 7.1.5): what the peer's close frame said,
    /// [`CloseCode::ABNORMAL`] when none came.
    pub fn code(&self) -> CloseCode {
        self.received.unwrap_or(CloseCode::ABNORMAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn every_code_is_sendable_or_not_as_section_7_4_says() {
        for code in 0..=u16::MAX {
            let reserved = matches!(code, 0..=999 | 1004 | 1005 | 1006 | 1015..=2999 | 5000..);
            assert_eq!(CloseCode::new(code).is_sendable(), !reserved, "{code}");
        }
    }

    #[test]
    fn a_close_frame_that_may_not_be_sent_says_why() {
        let check = |code: CloseCode, len| CloseFrame { code, reason: &"x".repeat(len) }.check();
        assert_eq!(check(CloseCode::NORMAL, 123), Ok(()));
        assert_eq!(check(CloseCode::NORMAL, 124), Err(SendError::TooLong));
        assert_eq!(check(CloseCode::NO_STATUS, 0), Ok(()));
        assert_eq!(check(CloseCode::NO_STATUS, 1), Err(SendError::InvalidCloseCode));
        assert_eq!(check(CloseCode::ABNORMAL, 0), Err(SendError::InvalidCloseCode));
    }

    #[test]
    fn codes_speak() {
        assert_eq!(CloseCode::NORMAL.to_string(), "1000 (normal closure)");
        assert_eq!(CloseCode::new(4321).name(), "private code");
        assert_eq!(CloseCode::new(99).name(), "unknown");
        assert_eq!(u16::from(CloseCode::BAD_GATEWAY), 1014);
    }
}
