//! Wi-Fi is joined for ever: when it is refused or lost, again after a delay that grows, until there is an address. What takes
//! too long is broken off, and the radio is started again.

use core::fmt;
use core::pin::pin;
use core::time::Duration;

use embassy_futures::select::{Either, select};
use wirelet_embedded::Clock;
use wirelet_embedded::proto::{Reconnect, ReconnectConfig};

use crate::Board;

/// A first delay of up to a second, then up to twice as much each time, up to half a minute. For ever.
pub const POLICY: ReconnectConfig =
    ReconnectConfig { initial_max: 1_000, cap: 30_000, ..ReconnectConfig::DEFAULT };

/// How long each step of an attempt may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// From the beginning of an attempt to its answer.
    pub join: Duration,
    /// From there to an address: DHCP, which some access points answer late, and some never.
    pub address: Duration,
}

impl Times {
    /// Half a minute each.
    pub const DEFAULT: Self = Self { join: Duration::from_secs(30), address: Duration::from_secs(30) };
}

/// A radio that can join a network, with the network stack on top.
pub trait Station {
    /// Why the network was not joined, or what ended it.
    type Error: fmt::Debug;

    /// Joins the network. It may be dropped before its end: [`restart`](Self::restart) follows.
    ///
    /// # Errors
    /// It is not there, the password is wrong, …
    fn join(&mut self) -> impl Future<Output = Result<(), Self::Error>>;

    /// Waits for an address. It may be dropped as [`join`](Self::join) may.
    ///
    /// # Errors
    /// The network was lost first.
    fn address(&mut self) -> impl Future<Output = Result<(), Self::Error>>;

    /// Waits until the network is lost, and says why.
    fn lost(&mut self) -> impl Future<Output = Self::Error>;

    /// Starts the radio again: what it was doing is over, whatever it was, and it has joined no network.
    ///
    /// # Errors
    /// It does not start. That will be tried again.
    fn restart(&mut self) -> Result<(), Self::Error>;
}

/// What ended an attempt.
enum End<E> {
    /// The radio has said so.
    Told(E),
    /// There was no answer within this time.
    Join(Duration),
    /// There was no address within this time.
    Address(Duration),
}

impl<E: fmt::Debug> fmt::Display for End<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told(error) => write!(f, "{error:?}"),
            Self::Join(time) => write!(f, "no answer within {} s", time.as_secs()),
            Self::Address(time) => write!(f, "no address within {} s", time.as_secs()),
        }
    }
}

/// Joins the network, and again whenever that fails or the network is lost. It never ends.
///
/// An address makes the next delay a first one again. `random` need not be secret.
pub async fn run<S: Station, C: Clock>(
    station: &mut S,
    board: &dyn Board,
    clock: &C,
    times: Times,
    random: impl Fn() -> u32,
) -> ! {
    let mut policy = Reconnect::new(POLICY);
    loop {
        board.log(format_args!("Wi-Fi: joining, attempt {}", policy.attempts().saturating_add(1)));
        let end = attempt(station, board, clock, times, &mut policy).await;
        // The policy has no last attempt.
        let delay = policy.next_delay(random()).unwrap_or_default();
        board.log(format_args!("Wi-Fi: {end}; again in {delay} ms"));
        // A radio that is left in the middle of an attempt may finish it later, and refuse the next one because of that.
        if !matches!(end, End::Told(_)) {
            match station.restart() {
                Ok(()) => board.log(format_args!("Wi-Fi: the radio was started again")),
                Err(error) => board.log(format_args!("Wi-Fi: the radio does not start again: {error:?}")),
            }
        }
        clock.wait_until(clock.now().plus(Duration::from_millis(delay))).await;
    }
}

async fn attempt<S: Station, C: Clock>(
    station: &mut S,
    board: &dyn Board,
    clock: &C,
    times: Times,
    policy: &mut Reconnect,
) -> End<S::Error> {
    match within(clock, times.join, station.join()).await {
        Some(Ok(())) => board.log(format_args!("Wi-Fi: joined, waiting for an address")),
        Some(Err(error)) => return End::Told(error),
        None => return End::Join(times.join),
    }
    match within(clock, times.address, station.address()).await {
        Some(Ok(())) => policy.reset(),
        Some(Err(error)) => return End::Told(error),
        None => return End::Address(times.address),
    }
    End::Told(station.lost().await)
}

/// What a future has come to within this time.
async fn within<F: Future>(clock: &impl Clock, time: Duration, future: F) -> Option<F::Output> {
    match select(pin!(future), pin!(clock.wait_until(clock.now().plus(time)))).await {
        Either::First(output) => Some(output),
        Either::Second(()) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Log;
    use core::cell::Cell;
    use core::future::pending;
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
        NoAnswer,
        LostBeforeAddress,
        NoAddress,
        Lost,
        Stays,
    }

    struct Script<'s> {
        fates: std::slice::Iter<'s, Fate>,
        fate: Fate,
        restarts: usize,
    }

    impl Station for Script<'_> {
        type Error = &'static str;

        async fn join(&mut self) -> Result<(), &'static str> {
            self.fate = *self.fates.next().unwrap();
            match self.fate {
                Fate::Refused => Err("refused"),
                Fate::NoAnswer => pending().await,
                _ => Ok(()),
            }
        }

        async fn address(&mut self) -> Result<(), &'static str> {
            match self.fate {
                Fate::LostBeforeAddress => Err("lost early"),
                Fate::NoAddress => pending().await,
                _ => Ok(()),
            }
        }

        async fn lost(&mut self) -> &'static str {
            if self.fate == Fate::Stays {
                pending::<()>().await;
            }
            "lost"
        }

        fn restart(&mut self) -> Result<(), &'static str> {
            self.restarts += 1;
            Ok(())
        }
    }

    /// The delays of a script, drawn at their upper bound, when it ends, and how often the radio was started again.
    fn delays(fates: &[Fate]) -> (Vec<String>, Instant, usize) {
        let (log, clock) = (Log::default(), Virtual::default());
        let mut station = Script { fates: fates.iter(), fate: Fate::Stays, restarts: 0 };
        {
            let mut joining = pin!(run(&mut station, &log, &clock, Times::DEFAULT, || u32::MAX));
            let polled = joining.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(polled, Poll::Pending));
        }
        assert_eq!(station.fates.len(), 0, "every attempt was made");
        let again = log.lines().into_iter().filter(|line| line.contains("again in")).collect();
        (again, clock.now(), station.restarts)
    }

    #[test]
    fn delays_grow_and_an_address_resets_them() {
        use Fate::{Lost, LostBeforeAddress, Refused, Stays};
        let (log, _, restarts) = delays(&[Refused, Refused, LostBeforeAddress, Lost, Refused, Lost, Stays]);
        assert_eq!(restarts, 0, "the radio knows that each attempt is over");
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

    /// The radio went on with an attempt that was given up, and refused all later ones.
    #[test]
    fn an_attempt_that_is_not_answered_starts_the_radio_again() {
        let (log, end, restarts) = delays(&[Fate::NoAnswer, Fate::NoAnswer, Fate::Stays]);
        assert_eq!(
            log,
            [
                "Wi-Fi: no answer within 30 s; again in 1000 ms",
                "Wi-Fi: no answer within 30 s; again in 2000 ms",
            ]
        );
        assert_eq!((restarts, end.as_millis()), (2, 63_000));
    }

    /// An access point that accepts and whose DHCP is silent was waited for for ever.
    #[test]
    fn a_network_without_an_address_is_left() {
        let (log, end, restarts) = delays(&[Fate::NoAddress, Fate::Stays]);
        assert_eq!(log, ["Wi-Fi: no address within 30 s; again in 1000 ms"]);
        assert_eq!((restarts, end.as_millis()), (1, 31_000));
    }

    #[test]
    fn it_never_gives_up() {
        let mut fates = std::vec![Fate::Refused; 10_000];
        fates.push(Fate::Stays);
        let (log, end, _) = delays(&fates);
        assert_eq!(log.len(), 10_000);
        assert!(log.last().unwrap().ends_with("again in 30000 ms"));
        assert_eq!(end.as_millis(), 31_000 + 9_995 * 30_000, "1 + 2 + 4 + 8 + 16 s, then the cap");
    }
}
