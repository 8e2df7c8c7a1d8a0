//! The connections of a server, by number.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::time::Instant;

use crate::connection::Shared;

/// A connection of a server. Numbers are not used again: one of a connection that has ended fits no other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    slot: u32,
    generation: u32,
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionId({self})")
    }
}

/// What is known about a connection from outside.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Its number.
    pub id: ConnectionId,
    /// The peer's address.
    pub peer: SocketAddr,
    /// The route that it came by.
    pub route: Arc<str>,
    /// When it was accepted.
    pub since: Instant,
}

#[derive(Default)]
pub(crate) struct Registry(RwLock<Slots>);

#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

struct Slot {
    generation: u32,
    entry: Option<Entry>,
}

struct Entry {
    shared: Arc<Shared>,
    peer: SocketAddr,
    route: Arc<str>,
    since: Instant,
}

/// A connection's place, until it is dropped.
pub(crate) struct Registered {
    registry: Arc<Registry>,
    pub(crate) id: ConnectionId,
}

impl Registry {
    pub(crate) fn add(
        self: &Arc<Self>,
        shared: Arc<Shared>,
        peer: SocketAddr,
        route: Arc<str>,
    ) -> Registered {
        let entry = Entry { shared, peer, route, since: Instant::now() };
        let mut slots = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.free.pop().unwrap_or_else(|| {
            slots.slots.push(Slot { generation: 0, entry: None });
            slots.slots.len() as u32 - 1
        });
        let place = &mut slots.slots[slot as usize];
        place.entry = Some(entry);
        let id = ConnectionId { slot, generation: place.generation };
        Registered { registry: Arc::clone(self), id }
    }

    pub(crate) fn find(&self, id: ConnectionId) -> Option<Arc<Shared>> {
        let slots = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.slots.get(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        slot.entry.as_ref().map(|entry| Arc::clone(&entry.shared))
    }

    pub(crate) fn list(&self) -> Vec<ConnectionInfo> {
        let slots = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let info = |(slot, place): (usize, &Slot)| {
            let Entry { peer, route, since, .. } = place.entry.as_ref()?;
            let id = ConnectionId { slot: slot as u32, generation: place.generation };
            Some(ConnectionInfo { id, peer: *peer, route: Arc::clone(route), since: *since })
        };
        slots.slots.iter().enumerate().filter_map(info).collect()
    }

    pub(crate) fn len(&self) -> usize {
        let slots = self.0.read().unwrap_or_else(PoisonError::into_inner);
        slots.slots.len() - slots.free.len()
    }

    /// All connections. They are not used under the lock.
    pub(crate) fn all(&self) -> Vec<Arc<Shared>> {
        let slots = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let shared = |slot: &Slot| slot.entry.as_ref().map(|entry| Arc::clone(&entry.shared));
        slots.slots.iter().filter_map(shared).collect()
    }

    /// Wakes the connections whose deadline has come.
    pub(crate) fn sweep(&self, now: u64) {
        let slots = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let due = slots.slots.iter().filter_map(|slot| slot.entry.as_ref()).filter(|e| e.shared.due() <= now);
        due.for_each(|entry| entry.shared.wakers.wake());
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut slots = self.registry.0.write().unwrap_or_else(PoisonError::into_inner);
        let place = &mut slots.slots[self.id.slot as usize];
        place.generation = place.generation.wrapping_add(1);
        let entry = place.entry.take();
        // A slot whose generations are used up is never used again.
        if place.generation != 0 {
            slots.free.push(self.id.slot);
        }
        drop(slots);
        drop(entry);
    }
}
