//! When a client connects again after its connection was lost or refused (RFC 6455 7.2.3).
//!
//! The clock and the random numbers are the caller's: times are milliseconds of any monotonic clock.

/// How a client connects again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ReconnectConfig {
    /// Upper bound of the first delay, in milliseconds. Default: 5,000, the RFC's own proposal.
    pub initial_max: u32,
    /// By what the upper bound grows with each attempt. Default: 2. 0 and 1 leave it as it is.
    pub factor: u32,
    /// What the upper bound never exceeds, in milliseconds. Default: 60,000.
    pub cap: u32,
    /// How long a connection must have lasted, in milliseconds, for the next delay to be a first one again. Default:
    /// 30,000. A server that accepts and drops at once is not hammered.
    pub stable_after: u64,
    /// Attempts in a row after which to give up. Default: `None`, never.
    pub max_attempts: Option<u32>,
    /// Whether to give up when the server refuses with a status that repeating does not change (see [`is_final`]).
    /// Default: `false`, because servers are reconfigured while devices wait.
    pub stop_when_refused: bool,
}

impl ReconnectConfig {
    /// The default of each field.
    pub const DEFAULT: Self = Self {
        initial_max: 5_000,
        factor: 2,
        cap: 60_000,
        stable_after: 30_000,
        max_attempts: None,
        stop_when_refused: false,
    };
}

impl Default for ReconnectConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Counts attempts and tells how long to wait before the next.
///
/// Each delay is drawn evenly from 0 to an upper bound (full jitter), so that the clients of a server that restarts come
/// back one by one; the bound grows with every attempt until [`cap`](ReconnectConfig::cap).
///
/// ```
/// use wirelet_proto::reconnect::{Reconnect, ReconnectConfig};
///
/// let mut reconnect = Reconnect::new(ReconnectConfig::DEFAULT);
/// reconnect.connected(1_000);
/// reconnect.disconnected(2_000);
/// let random = u32::MAX; // 32 bits from any random source
/// assert_eq!(reconnect.next_delay(random), Some(5_000));
/// assert_eq!(reconnect.next_delay(random), Some(10_000)); // refused again
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Reconnect {
    config: ReconnectConfig,
    attempts: u32,
    bound: u32,
    connected_at: Option<u64>,
}

impl Reconnect {
    /// A policy at its beginning.
    pub const fn new(config: ReconnectConfig) -> Self {
        Self { config, attempts: 0, bound: first_bound(&config), connected_at: None }
    }

    /// The configuration.
    pub const fn config(&self) -> &ReconnectConfig {
        &self.config
    }

    /// Attempts since the beginning or the last stable connection.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Counts the next attempt and answers how many milliseconds to wait before it. `random` is 32 random bits; they
    /// need not be secret. `None`: give up, [`max_attempts`](ReconnectConfig::max_attempts) are made.
    // RFC 6455 7.2.3: a random first delay, then truncated exponential back-off.
    pub fn next_delay(&mut self, random: u32) -> Option<u64> {
        if self.config.max_attempts.is_some_and(|max| self.attempts >= max) {
            return None;
        }
        let choices = u64::from(self.bound).wrapping_add(1);
        let delay = u64::from(random).wrapping_mul(choices) >> 32;
        self.attempts = self.attempts.saturating_add(1);
        self.bound = self.bound.saturating_mul(self.config.factor.max(1)).min(self.config.cap);
        Some(delay)
    }

    /// As [`next_delay`](Self::next_delay), after a server that has asked to be left alone for `least` milliseconds
    /// ([`ResponseHead::retry_after`](crate::handshake::ResponseHead::retry_after)): so long, but at most
    /// [`cap`](ReconnectConfig::cap), and the random delay behind it, or all clients would come back at once.
    pub fn next_delay_after(&mut self, least: u64, random: u32) -> Option<u64> {
        // RFC 9110 10.2.3.
        let behind = self.next_delay(random)?;
        Some(least.min(self.config.cap.into()).saturating_add(behind))
    }

    /// The opening handshake has succeeded.
    pub const fn connected(&mut self, now: u64) {
        self.connected_at = Some(now);
    }

    /// The connection has ended. If it was stable, counting starts over. Without a connection it does nothing.
    pub const fn disconnected(&mut self, now: u64) {
        if let Some(since) = self.connected_at.take()
            && now.saturating_sub(since) >= self.config.stable_after
        {
            self.reset();
        }
    }

    /// Starts over: the next delay is a first one.
    pub const fn reset(&mut self) {
        self.attempts = 0;
        self.bound = first_bound(&self.config);
    }

    /// Whether to try again after the server refused with this HTTP status: always, unless
    /// [`stop_when_refused`](ReconnectConfig::stop_when_refused) is set and the status [is final](is_final).
    pub const fn is_worth_retrying(&self, status: u16) -> bool {
        !(self.config.stop_when_refused && is_final(status))
    }
}

/// Whether the same request would get the same refusal again: the statuses 3xx; 4xx except 408 (Request Timeout), 421
/// (Misdirected Request), 425 (Too Early) and 429 (Too Many Requests); 501; 505. So 401, 403 and 404 are final,
/// 503 is not.
pub const fn is_final(status: u16) -> bool {
    matches!(status, 300..=499 | 501 | 505) && !matches!(status, 408 | 421 | 425 | 429)
}

const fn first_bound(config: &ReconnectConfig) -> u32 {
    if config.initial_max < config.cap { config.initial_max } else { config.cap }
}
