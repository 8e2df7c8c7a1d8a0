//! Who is admitted: how many connections there may be in total, from one address, and before the end of their handshake.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::network::Network;

/// How many connections a server takes at a time. One more is answered with 503.
///
/// The first refusal of an address is logged with the name of the setting, by [`tracing`] at the level WARN with the target
/// `wirelet::server`.
///
/// Behind a proxy all connections come from the proxy's address, so that limits for one address would be limits for the
/// whole service: [`proxies`](Self::proxies) names those addresses. What is behind them the proxy has to limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// In all, HTTP and WebSocket. Default: 65,536.
    pub connections: usize,
    /// From one IPv4 address or one IPv6 network of 64 bits. Default: 1,024.
    pub per_address: usize,
    /// Whose first request has not been answered yet. Default: 1,024.
    pub handshakes: usize,
    /// Whose first request has not been answered yet, from one IPv4 address or one IPv6 network of 64 bits. Default: 64.
    pub handshakes_per_address: usize,
    /// Addresses that many peers share, such as a reverse proxy's: they count against `connections` and `handshakes`
    /// alone. Default: those of loopback, 127.0.0.0/8 and ::1, for a proxy on the same machine. Where programs of this
    /// machine are not to be trusted: none.
    pub proxies: Vec<Network>,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            connections: 65_536,
            per_address: 1024,
            handshakes: 1024,
            handshakes_per_address: 64,
            proxies: vec![Network::LOOPBACK_V4, Network::LOOPBACK_V6],
        }
    }
}

/// As many refused connections as are kept at a time until their peers have seen the answer.
const LINGERING: usize = 64;

/// Counts connections.
#[derive(Debug)]
pub(crate) struct Admission {
    capacity: Capacity,
    counts: Mutex<Counts>,
    told: Mutex<Told>,
    lingering: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Counts {
    all: Count,
    /// Invariant: none is zero.
    addresses: HashMap<Network, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    connections: usize,
    handshakes: usize,
}

/// One admitted connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Admitted(Place);

/// One opening handshake, until it is dropped.
#[derive(Debug)]
pub(crate) struct HandshakePermit(Place);

/// Whom a connection is counted for.
#[derive(Clone, Debug)]
struct Place {
    admission: Arc<Admission>,
    /// `None` for a proxy, and for a peer without an address.
    address: Option<Network>,
}

/// The setting that lets no more in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Setting {
    Connections,
    PerAddress,
    Handshakes,
    HandshakesPerAddress,
}

impl Admission {
    pub(crate) fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            counts: Mutex::default(),
            told: Mutex::new(Told::new()),
            lingering: Arc::new(Semaphore::new(LINGERING)),
        }
    }

    /// Admits one more connection from `peer`, which begins its handshake; `None` where a limit is reached, which is
    /// logged.
    pub(crate) fn admit(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<(Admitted, HandshakePermit)> {
        match self.enter(peer) {
            Ok(place) => Some((Admitted(place.clone()), HandshakePermit(place))),
            Err(setting) => {
                self.tell(peer.map(Network::of_peer), setting);
                None
            }
        }
    }

    /// The right to keep the socket of a refused connection until its peer has seen the answer, unless many are kept
    /// already: refusing must not hold more sockets than admitting.
    pub(crate) fn linger(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.lingering).try_acquire_owned().ok()
    }

    fn enter(self: &Arc<Self>, peer: Option<IpAddr>) -> Result<Place, Setting> {
        let capacity = &self.capacity;
        let own = |peer: &IpAddr| !capacity.proxies.iter().any(|proxy| proxy.contains(*peer));
        let address = peer.filter(own).map(Network::of_peer);
        let mut counts = lock(&self.counts);
        if let Some(address) = address {
            // What concerns one address is said before what concerns all.
            let own = counts.addresses.get(&address).copied().unwrap_or_default();
            own.check(capacity.per_address, Setting::PerAddress)?;
            own.check_handshakes(capacity.handshakes_per_address, Setting::HandshakesPerAddress)?;
        }
        counts.all.check(capacity.connections, Setting::Connections)?;
        counts.all.check_handshakes(capacity.handshakes, Setting::Handshakes)?;
        let place = Place { admission: Arc::clone(self), address };
        counts.change(&place, |count| {
            count.connections += 1;
            count.handshakes += 1;
        });
        Ok(place)
    }

    fn tell(&self, address: Option<Network>, setting: Setting) {
        match lock(&self.told).note(address, setting) {
            News::Old => {}
            News::New => tracing::warn!(
                target: "wirelet::server",
                address = %Shown(address),
                setting = setting.name(),
                limit = setting.limit(&self.capacity),
                "connections are refused with 503; more of the kind are not logged for an hour"
            ),
            News::TooMany => tracing::warn!(
                target: "wirelet::server",
                setting = setting.name(),
                limit = setting.limit(&self.capacity),
                "connections of so many addresses are refused with 503 that no more of them are logged for an hour"
            ),
        }
    }
}

impl Counts {
    fn change(&mut self, place: &Place, change: impl Fn(&mut Count)) {
        change(&mut self.all);
        if let Some(address) = place.address {
            let own = self.addresses.entry(address).or_default();
            change(own);
            if own.connections == 0 && own.handshakes == 0 {
                self.addresses.remove(&address);
            }
        }
    }
}

impl Count {
    fn check(&self, most: usize, setting: Setting) -> Result<(), Setting> {
        if self.connections < most { Ok(()) } else { Err(setting) }
    }

    fn check_handshakes(&self, most: usize, setting: Setting) -> Result<(), Setting> {
        if self.handshakes < most { Ok(()) } else { Err(setting) }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        lock(&self.0.admission.counts).change(&self.0, |count| count.connections -= 1);
    }
}

impl Drop for HandshakePermit {
    fn drop(&mut self) {
        lock(&self.0.admission.counts).change(&self.0, |count| count.handshakes -= 1);
    }
}

impl Setting {
    const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::PerAddress => "per_address",
            Self::Handshakes => "handshakes",
            Self::HandshakesPerAddress => "handshakes_per_address",
        }
    }

    const fn limit(self, capacity: &Capacity) -> usize {
        match self {
            Self::Connections => capacity.connections,
            Self::PerAddress => capacity.per_address,
            Self::Handshakes => capacity.handshakes,
            Self::HandshakesPerAddress => capacity.handshakes_per_address,
        }
    }
}

/// As many refusals are logged in an hour, and as many addresses remembered.
const MOST_TOLD: usize = 1024;
/// After so long all is told again.
const TOLD_FOR: Duration = Duration::from_secs(60 * 60);

/// The refusals that have been logged. Bounded, since an attacker may have any number of addresses.
#[derive(Debug)]
struct Told {
    since: Instant,
    /// `None`: those without an address.
    refusals: HashSet<(Option<Network>, Setting)>,
    full: bool,
}

/// A peer's address in the log.
struct Shown(Option<Network>);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(network) => network.fmt(f),
            None => f.write_str("none"),
        }
    }
}

/// Whether a refusal is to be logged.
#[derive(Debug, PartialEq, Eq)]
enum News {
    New,
    Old,
    /// It is new, and one too many.
    TooMany,
}

impl Told {
    fn new() -> Self {
        Self { since: Instant::now(), refusals: HashSet::new(), full: false }
    }

    fn note(&mut self, address: Option<Network>, setting: Setting) -> News {
        if self.since.elapsed() >= TOLD_FOR {
            *self = Self::new();
        }
        if self.full || self.refusals.contains(&(address, setting)) {
            return News::Old;
        }
        if self.refusals.len() >= MOST_TOLD {
            self.full = true;
            return News::TooMany;
        }
        self.refusals.insert((address, setting));
        News::New
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: Capacity = Capacity {
        connections: 9,
        per_address: 9,
        handshakes: 9,
        handshakes_per_address: 9,
        proxies: Vec::new(),
    };

    fn admission(capacity: Capacity) -> Arc<Admission> {
        Arc::new(Admission::new(capacity))
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn each_limit_holds_and_gives_way_when_a_connection_ends() {
        for (capacity, same) in [
            (Capacity { connections: 2, ..MANY }, false),
            (Capacity { per_address: 2, ..MANY }, true),
            (Capacity { handshakes: 2, ..MANY }, false),
            (Capacity { handshakes_per_address: 2, ..MANY }, true),
        ] {
            let admission = admission(capacity);
            let peers = if same { ["1.1.1.1"; 3] } else { ["1.1.1.1", "2.2.2.2", "3.3.3.3"] };
            let first = admission.admit(address(peers[0])).unwrap();
            let second = admission.admit(address(peers[1])).unwrap();
            for _ in 0..3 {
                assert!(admission.admit(address(peers[2])).is_none());
            }
            if same {
                drop(admission.admit(address("4.4.4.4")).expect("another address is not concerned"));
            }
            drop(first);
            drop((admission.admit(address(peers[2])).unwrap(), second));
            assert!(lock(&admission.counts).addresses.is_empty());
        }
    }

    #[test]
    fn a_handshake_that_has_ended_makes_room_for_another() {
        for capacity in [Capacity { handshakes: 1, ..MANY }, Capacity { handshakes_per_address: 1, ..MANY }] {
            let admission = admission(capacity);
            let (first, handshake) = admission.admit(address("1.1.1.1")).unwrap();
            assert!(admission.admit(address("1.1.1.1")).is_none());
            drop(handshake);
            assert!(admission.admit(address("1.1.1.1")).is_some());
            drop(first);
        }
    }

    #[test]
    fn an_ipv6_network_and_a_mapped_ipv4_address_count_as_one() {
        let admission = admission(Capacity { per_address: 1, ..MANY });
        let first = admission.admit(address("2001:db8::1")).unwrap();
        assert!(admission.admit(address("2001:db8::ffff:1")).is_none());
        assert!(admission.admit(address("2001:db8:0:1::1")).is_some());
        let second = admission.admit(address("10.0.0.1")).unwrap();
        assert!(admission.admit(address("::ffff:10.0.0.1")).is_none());
        drop((first, second));
    }

    /// All handshakes were as many as one address could have: whoever was silent on that many locked everybody out.
    #[test]
    fn one_address_took_all_handshakes() {
        let admission = admission(Capacity::default());
        let mut held = Vec::new();
        while let Some(admitted) = admission.admit(address("1.1.1.1")) {
            held.push(admitted);
        }
        assert_eq!(held.len(), 64);
        assert!(admission.admit(address("2.2.2.2")).is_some());
    }

    /// Behind a proxy, which is what the README tells people to do for TLS, 1,024 connections were all that there could be.
    #[test]
    fn the_limits_of_one_address_were_limits_of_all_that_came_through_a_proxy() {
        let proxies = vec!["10.1.0.0/16".parse().unwrap(), "2001:db8::5".parse().unwrap()];
        let capacity =
            Capacity { connections: 5, per_address: 1, handshakes: 9, handshakes_per_address: 1, proxies };
        let admission = admission(capacity);
        let held: Vec<_> = ["10.1.2.3", "10.1.2.3", "::ffff:10.1.2.3", "2001:db8::5", "2001:db8::5"]
            .map(|proxy| admission.admit(address(proxy)).unwrap())
            .into();
        assert!(admission.admit(address("10.1.2.3")).is_none(), "the total holds for proxies too");
        drop(held);
        // By default a proxy on the same machine is one.
        let local = Arc::new(Admission::new(Capacity { per_address: 0, ..Capacity::default() }));
        assert!(["127.0.0.1", "127.9.9.9", "::1"].iter().all(|peer| local.admit(address(peer)).is_some()));
        let one = admission.admit(address("10.2.0.0")).unwrap();
        assert!(admission.admit(address("10.2.0.0")).is_none(), "that is no proxy");
        let other = admission.admit(address("2001:db8::6")).unwrap();
        assert!(admission.admit(address("2001:db8::7")).is_none(), "nor is that, though near to one");
        drop((one, other));
    }

    #[test]
    fn few_refused_connections_are_kept_for_their_answer() {
        let admission = admission(MANY);
        let kept: Vec<_> = std::iter::from_fn(|| admission.linger()).collect();
        assert_eq!(kept.len(), LINGERING);
        drop(kept);
        assert!(admission.linger().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn each_refusal_is_news_once_an_hour_for_a_bounded_number_of_addresses() {
        let mut told = Told::new();
        let peer = |n: u32| Some(Network::from(IpAddr::from(n.to_be_bytes())));
        assert_eq!(told.note(peer(0), Setting::PerAddress), News::New);
        assert_eq!(told.note(peer(0), Setting::PerAddress), News::Old);
        assert_eq!(told.note(peer(0), Setting::Connections), News::New);
        for n in 2..MOST_TOLD as u32 {
            assert_eq!(told.note(peer(n), Setting::Connections), News::New);
        }
        assert_eq!(told.note(peer(1 << 20), Setting::Connections), News::TooMany);
        for n in 0..10_000 {
            assert_eq!(told.note(peer(n), Setting::Handshakes), News::Old);
        }
        assert_eq!(told.refusals.len(), MOST_TOLD);
        tokio::time::advance(TOLD_FOR).await;
        assert_eq!(told.note(peer(0), Setting::PerAddress), News::New);
    }
}
