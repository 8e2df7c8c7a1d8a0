//! Wi-Fi is joined for ever: when it is refused or lost, again after a delay that grows, until there is an address.

use core::time::Duration;

use wirelet_embedded::Clock;
use wirelet_embedded::proto::{Reconnect, ReconnectConfig};

use crate::Board;

/// A first delay of up to a second, then up to twice as much each time, up to half a minute. For ever.
pub const POLICY: ReconnectConfig =
    ReconnectConfig { initial_max: 1_000, cap: 30_000, ..ReconnectConfig::DEFAULT };

/// A radio that can join a network, with the network stack on top.
pub trait Station {
    /// Why the network was not joined, or what ended it.
    type Error: core::fmt::Debug;

    /// Joins the network.
    ///
    /// # Errors
    /// It is not there, the password is wrong, …
    fn join(&mut self) -> impl Future<Output = Result<(), Self::Error>>;

    /// Waits for an address.
    ///
    /// # Errors
    /// The network was lost first.
    fn address(&mut self) -> impl Future<Output = Result<(), Self::Error>>;

    /// Waits until the network is lost, and says why.
    fn lost(&mut self) -> impl Future<Output = Self::Error>;
}

/// Joins the network, and again whenever that fails or the network is lost. It never ends.
///
/// An address makes the next delay a first one again. `random` need not be secret.
pub async fn run<S: Station, C: Clock>(
    station: &mut S,
    board: &dyn Board,
    clock: &C,
    random: impl Fn() -> u32,
) -> ! {
    let mut policy = Reconnect::new(POLICY);
    loop {
        board.log(format_args!("Wi-Fi: joining, attempt {}", policy.attempts().saturating_add(1)));
        let end = attempt(station, board, &mut policy).await;
        // The policy has no last attempt.
        let delay = policy.next_delay(random()).unwrap_or_default();
        board.log(format_args!("Wi-Fi: {end:?}; again in {delay} ms"));
        clock.wait_until(clock.now().plus(Duration::from_millis(delay))).await;
    }
}

async fn attempt<S: Station>(station: &mut S, board: &dyn Board, policy: &mut Reconnect) -> S::Error {
    if let Err(error) = station.join().await {
        return error;
    }
    board.log(format_args!("Wi-Fi: joined, waiting for an address"));
    if let Err(error) = station.address().await {
        return error;
    }
    policy.reset();
    station.lost().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Log;
    use core::cell::Cell;
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};
    use std::string::String;
    use std::vec::Vec;
    use wirelet_embedded::proto::Instant;

    /// Time that passes when somebody waits for it.
    #[derive(Default)]
    struct Virtual(Cell<Instant>);

    impl Clock for Virtual {
        fn now(&self) -> Instant {
            self.0.get()
        }

        async fn wait_until(&self, deadline: Instant) {
            self.0.set(deadline.max(self.now()));
        }
    }

    /// What happens, attempt by attempt; after the last one the network stays.
    #[derive(Clone, Copy, PartialEq)]
    enum Fate {
        Refused,
        LostBeforeAddress,
        Lost,
        Stays,
    }

    struct Script<'s> {
        fates: std::slice::Iter<'s, Fate>,
        fate: Fate,
    }

    impl Station for Script<'_> {
        type Error = &'static str;

        async fn join(&mut self) -> Result<(), &'static str> {
            self.fate = *self.fates.next().unwrap();
            if self.fate == Fate::Refused { Err("refused") } else { Ok(()) }
        }

        async fn address(&mut self) -> Result<(), &'static str> {
            if self.fate == Fate::LostBeforeAddress { Err("lost early") } else { Ok(()) }
        }

        async fn lost(&mut self) -> &'static str {
            if self.fate == Fate::Stays {
                core::future::pending::<()>().await;
            }
            "lost"
        }
    }

    /// The delays of a script, drawn at their upper bound.
    fn delays(fates: &[Fate]) -> (Vec<String>, Instant) {
        let (log, clock) = (Log::default(), Virtual::default());
        let mut station = Script { fates: fates.iter(), fate: Fate::Stays };
        {
            let mut joining = pin!(run(&mut station, &log, &clock, || u32::MAX));
            let polled = joining.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(polled, Poll::Pending));
        }
        assert_eq!(station.fates.len(), 0, "every attempt was made");
        let again = log.lines().into_iter().filter(|line| line.contains("again in")).collect();
        (again, clock.now())
    }

    #[test]
    fn delays_grow_and_an_address_resets_them() {
        use Fate::{Lost, LostBeforeAddress, Refused, Stays};
        let (log, _) = delays(&[Refused, Refused, LostBeforeAddress, Lost, Refused, Lost, Stays]);
        assert_eq!(
            log,
            [
                "Wi-Fi: \"refused\"; again in 1000 ms",
                "Wi-Fi: \"refused\"; again in 2000 ms",
                "Wi-Fi: \"lost early\"; again in 4000 ms",
                "Wi-Fi: \"lost\"; again in 1000 ms",
                "Wi-Fi: \"refused\"; again in 2000 ms",
                "Wi-Fi: \"lost\"; again in 1000 ms",
            ]
        );
    }

    #[test]
    fn it_never_gives_up() {
        let mut fates = std::vec![Fate::Refused; 10_000];
        fates.push(Fate::Stays);
        let (log, end) = delays(&fates);
        assert_eq!(log.len(), 10_000);
        assert!(log.last().unwrap().ends_with("again in 30000 ms"));
        assert_eq!(end.as_millis(), 31_000 + 9_995 * 30_000, "1 + 2 + 4 + 8 + 16 s, then the cap");
    }
}
