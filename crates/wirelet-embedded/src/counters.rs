//! What a server or client has done so far.

use core::cell::RefCell;

use critical_section::Mutex;

/// Counters for [`Settings::counters`](crate::server::Settings::counters) and
/// [`Options::counters`](crate::client::Options::counters): usually a `static`. Without them nothing is counted.
#[derive(Debug)]
pub struct Counters(Mutex<RefCell<Counts>>);

/// Numbers of things that have happened. They wrap round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Counts {
    /// A server: connections that were accepted. A client: attempts to connect.
    pub connections: u32,
    /// WebSockets that were opened.
    pub opened: u32,
    /// A server: requests that were refused.
    pub refused: Refusals,
    /// A client: attempts that have failed.
    pub failed: u32,
    /// Messages that were dropped for newer ones ([`Overflow::DropOldest`](crate::Overflow::DropOldest)).
    pub dropped: u32,
    /// Bytes that were received from the network, on open WebSockets.
    pub received: u64,
    /// Bytes that the network has taken, on open WebSockets.
    pub sent: u64,
}

/// Requests that were refused, by the reason. (The status says as much: what is not listed here is `malformed`, or for 5xx `failed`.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Refusals {
    /// Broken, or larger than there is room for.
    pub malformed: u32,
    /// 401: without the password.
    pub unauthorized: u32,
    /// 403: pages of an origin that may not connect.
    pub forbidden: u32,
    /// 404: there is no such path.
    pub not_found: u32,
    /// 405: the path has other methods.
    pub method: u32,
    /// 408: it did not arrive in time.
    pub timeout: u32,
    /// 426: it asks for no WebSocket, or for another version.
    pub upgrade: u32,
    /// 503: all connections are in use, or nobody serves the path.
    pub unavailable: u32,
    /// 500: what should have been answered does not fit its buffer.
    pub failed: u32,
    /// The upgrade hook said no, with whatever status.
    pub hook: u32,
}

impl Counters {
    /// All zero.
    pub const fn new() -> Self {
        let refused = Refusals {
            malformed: 0,
            unauthorized: 0,
            forbidden: 0,
            not_found: 0,
            method: 0,
            timeout: 0,
            upgrade: 0,
            unavailable: 0,
            failed: 0,
            hook: 0,
        };
        let zero = Counts { connections: 0, opened: 0, refused, failed: 0, dropped: 0, received: 0, sent: 0 };
        Self(Mutex::new(RefCell::new(zero)))
    }

    /// The numbers now, all of the same moment.
    pub fn counts(&self) -> Counts {
        critical_section::with(|section| *self.0.borrow_ref(section))
    }

    /// Counts `n` of something, where anything is counted.
    #[inline]
    pub(crate) fn count(counters: Option<&Self>, what: Count, n: usize) {
        if let Some(counters) = counters {
            counters.add(what, n);
        }
    }

    #[inline(never)] // flash: it is called in many places
    fn add(&self, what: Count, n: usize) {
        critical_section::with(|section| {
            let Ok(mut counts) = self.0.borrow(section).try_borrow_mut() else { return };
            let counter = match what {
                Count::Connection => &mut counts.connections,
                Count::Opened => &mut counts.opened,
                Count::Failed => &mut counts.failed,
                Count::Dropped => &mut counts.dropped,
                Count::Hook => &mut counts.refused.hook,
                Count::Refused(status) => counts.refused.of(status),
                Count::Received | Count::Sent => {
                    let bytes = if what == Count::Sent { &mut counts.sent } else { &mut counts.received };
                    *bytes = bytes.wrapping_add(n as u64);
                    return;
                }
            };
            *counter = counter.wrapping_add(1);
        });
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Connection,
    Opened,
    Failed,
    /// A message, for a newer one.
    Dropped,
    /// A request that was refused by the hook, and by the server with this status.
    Hook,
    Refused(u16),
    /// Bytes.
    Received,
    Sent,
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

impl Refusals {
    /// How many they were together.
    pub const fn total(&self) -> u32 {
        let Self {
            malformed,
            unauthorized,
            forbidden,
            not_found,
            method,
            timeout,
            upgrade,
            unavailable,
            failed,
            hook,
        } = *self;
        let mut total = 0_u32;
        let all = [
            malformed,
            unauthorized,
            forbidden,
            not_found,
            method,
            timeout,
            upgrade,
            unavailable,
            failed,
            hook,
        ];
        let mut rest = all.as_slice();
        while let [one, after @ ..] = rest {
            total = total.wrapping_add(*one);
            rest = after;
        }
        total
    }

    /// The counter of a status.
    const fn of(&mut self, status: u16) -> &mut u32 {
        match status {
            401 => &mut self.unauthorized,
            403 => &mut self.forbidden,
            404 => &mut self.not_found,
            405 => &mut self.method,
            408 => &mut self.timeout,
            426 => &mut self.upgrade,
            503 => &mut self.unavailable,
            500 => &mut self.failed,
            _ => &mut self.malformed,
        }
    }
}
