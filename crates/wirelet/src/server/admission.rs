//! How many connections there may be: in total, from one address, and before the end of their handshake.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many connections a server takes at a time. One more is answered with 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// In all, HTTP and WebSocket. Default: 65,536.
    pub connections: usize,
    /// From one IPv4 address or one IPv6 network of 64 bits. Default: 1,024.
    pub per_address: usize,
    /// Whose opening handshake has not ended. Default: 1,024.
    pub handshakes: usize,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { connections: 65_536, per_address: 1024, handshakes: 1024 }
    }
}

/// Counts connections.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    capacity: Capacity,
    total: AtomicUsize,
    handshakes: AtomicUsize,
    addresses: Mutex<HashMap<IpAddr, usize>>,
}

/// One admitted connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    address: IpAddr,
}

/// One opening handshake, until it is dropped.
#[derive(Debug)]
pub(crate) struct HandshakePermit(Arc<Admission>);

impl Admission {
    pub(crate) fn new(capacity: Capacity) -> Self {
        Self { capacity, ..Self::default() }
    }

    /// Admits one more connection from `peer`, which begins its handshake; `None` where a limit is reached.
    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<(Admitted, HandshakePermit)> {
        let handshake = Counted::enter(&self.handshakes, self.capacity.handshakes)?;
        let total = Counted::enter(&self.total, self.capacity.connections)?;
        let address = network(peer);
        {
            let mut addresses = self.lock();
            let count = addresses.entry(address).or_default();
            if *count >= self.capacity.per_address {
                return None;
            }
            *count += 1;
        }
        total.keep();
        handshake.keep();
        Some((Admitted { admission: Arc::clone(self), address }, HandshakePermit(Arc::clone(self))))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.total.fetch_sub(1, Ordering::Relaxed);
        let mut addresses = self.admission.lock();
        if let Some(count) = addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

impl Drop for HandshakePermit {
    fn drop(&mut self) {
        self.0.handshakes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A count that is taken back unless it is kept.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn enter(counter: &'a AtomicUsize, most: usize) -> Option<Self> {
        let one = Self(counter);
        (counter.fetch_add(1, Ordering::Relaxed) < most).then_some(one)
    }

    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An IPv6 host has a whole network of 64 bits to call from.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections: usize, per_address: usize, handshakes: usize) -> Arc<Admission> {
        Arc::new(Admission::new(Capacity { connections, per_address, handshakes }))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_limit_holds_and_gives_way_when_a_connection_ends() {
        for (admission, same) in
            [(admission(2, 9, 9), false), (admission(9, 2, 9), true), (admission(9, 9, 2), false)]
        {
            let peers = if same { ["1.1.1.1"; 3] } else { ["1.1.1.1", "2.2.2.2", "3.3.3.3"] };
            let first = admission.admit(address(peers[0])).unwrap();
            let second = admission.admit(address(peers[1])).unwrap();
            for _ in 0..3 {
                assert!(admission.admit(address(peers[2])).is_none());
            }
            drop(first);
            drop((admission.admit(address(peers[2])).unwrap(), second));
            assert!(admission.lock().is_empty());
        }
    }

    #[test]
    fn a_handshake_that_has_ended_makes_room_for_another() {
        let admission = admission(9, 9, 1);
        let (first, handshake) = admission.admit(address("1.1.1.1")).unwrap();
        assert!(admission.admit(address("1.1.1.1")).is_none());
        drop(handshake);
        assert!(admission.admit(address("1.1.1.1")).is_some());
        drop(first);
    }

    #[test]
    fn an_ipv6_network_and_a_mapped_ipv4_address_count_as_one() {
        let admission = admission(9, 1, 9);
        let first = admission.admit(address("2001:db8::1")).unwrap();
        assert!(admission.admit(address("2001:db8::ffff:1")).is_none());
        assert!(admission.admit(address("2001:db8:0:1::1")).is_some());
        let second = admission.admit(address("10.0.0.1")).unwrap();
        assert!(admission.admit(address("::ffff:10.0.0.1")).is_none());
        drop((first, second));
    }
}
