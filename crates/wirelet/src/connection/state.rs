//! What is known outside of how far a connection's closing is, without a lock.

use wirelet_proto::{CloseCode, CloseInfo, Initiator, State};

use crate::sync::atomic::{AtomicU64, Ordering};

/// A connection's [`State`] and [`CloseInfo`] as its owner has published them last.
///
/// Two codes of 16 bits and whether they are there; who has begun; whether the connection has failed.
#[derive(Debug, Default)]
pub(super) struct PublishedState(AtomicU64);

const SENT: u64 = 1 << 32;
const RECEIVED: u64 = 1 << 33;
const LOCAL: u64 = 1 << 34;
const REMOTE: u64 = 1 << 35;
const FAILED: u64 = 1 << 36;
const CLOSING: u64 = 1 << 37;
const CLOSED: u64 = 1 << 38;

impl PublishedState {
    pub(super) fn publish(&self, state: State, close: CloseInfo) {
        let code = |code: Option<CloseCode>, flag: u64, shift: u32| {
            code.map_or(0, |code| flag | u64::from(u16::from(code)) << shift)
        };
        let mut bits = code(close.sent, SENT, 0) | code(close.received, RECEIVED, 16);
        bits |= match close.initiator {
            None => 0,
            Some(Initiator::Local) => LOCAL,
            Some(Initiator::Remote) => REMOTE,
        };
        bits |= match state {
            State::Open => 0,
            State::Closing => CLOSING,
            State::Closed => CLOSED,
        };
        bits |= if close.failed { FAILED } else { 0 };
        self.0.store(bits, Ordering::Release);
    }

    pub(super) fn state(&self) -> State {
        match self.bits() {
            bits if bits & CLOSED != 0 => State::Closed,
            bits if bits & CLOSING != 0 => State::Closing,
            _ => State::Open,
        }
    }

    pub(super) fn close_info(&self) -> CloseInfo {
        let bits = self.bits();
        let code = |flag: u64, shift: u32| (bits & flag != 0).then(|| CloseCode::new((bits >> shift) as u16));
        CloseInfo {
            sent: code(SENT, 0),
            received: code(RECEIVED, 16),
            initiator: match bits & (LOCAL | REMOTE) {
                LOCAL => Some(Initiator::Local),
                REMOTE => Some(Initiator::Remote),
                _ => None,
            },
            failed: bits & FAILED != 0,
        }
    }

    fn bits(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_published_is_what_is_read() {
        let codes = [None, Some(CloseCode::NORMAL), Some(CloseCode::NO_STATUS), Some(CloseCode::new(4999))];
        let published = PublishedState::default();
        assert_eq!((published.state(), published.close_info()), (State::Open, CloseInfo::default()));
        for sent in codes {
            for received in codes {
                for initiator in [None, Some(Initiator::Local), Some(Initiator::Remote)] {
                    for state in [State::Open, State::Closing, State::Closed] {
                        let close = CloseInfo { sent, received, initiator, failed: sent == received };
                        published.publish(state, close);
                        assert_eq!((published.state(), published.close_info()), (state, close));
                    }
                }
            }
        }
    }
}
