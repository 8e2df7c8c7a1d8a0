//! The connections of a server, by number. Each thread that serves has a registry of its own.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::ThreadId;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::SlowReceiver;
use crate::connection::Shared;
use crate::connection::queue::Queued;

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
    /// The peer's address; `None` where it has none, as on a Unix socket.
    pub peer: Option<SocketAddr>,
    /// The route that it came by.
    pub route: Arc<str>,
    /// When it was accepted.
    pub since: Instant,
}

/// As many places are in one piece of memory, and are looked at under the lock at a time. A connection that comes or goes waits for
/// no more, however many there are.
const SLICE: usize = 128;

/// All connections of a server: a registry for each thread, none before it serves.
pub(crate) struct Registries<C = Shared>(OnceLock<Box<[Arc<Registry<C>>]>>);

/// The connections of one thread. `C` is [`Shared`], but in tests.
pub(crate) struct Registry<C = Shared> {
    slots: RwLock<Slots<C>>,
    numbers: Numbers,
    /// Told when a connection was added.
    added: Notify,
    /// The thread whose runtime has all these connections, if there is one.
    home: OnceLock<ThreadId>,
    /// Told when another thread has left messages for connections, and has not woken them.
    mail: Notify,
}

/// Which numbers a registry gives: those whose remainder is its own, so that a number says whose it is.
#[derive(Clone, Copy)]
struct Numbers {
    thread: u32,
    threads: u32,
}

struct Slots<C> {
    /// Pieces of [`SLICE`] places, all but the last of them full. Why not one piece: it would be twice as large as needed when it
    /// has grown, and hold up everybody while it is copied.
    slices: Vec<Vec<Slot<C>>>,
    free: Vec<u32>,
}

struct Slot<C> {
    generation: u32,
    entry: Option<Entry<C>>,
}

struct Entry<C> {
    connection: Arc<C>,
    peer: Option<SocketAddr>,
    route: Arc<str>,
    since: Instant,
}

/// A connection's place, until it is dropped.
pub(crate) struct Registered<C = Shared> {
    registry: Arc<Registry<C>>,
    pub(crate) id: ConnectionId,
}

impl<C> Default for Registries<C> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<C> Registries<C> {
    /// Makes a registry for each of `threads`. Called once, when the server begins to serve.
    pub(crate) fn divide(&self, threads: u32) -> &[Arc<Registry<C>>] {
        self.0.get_or_init(|| (0..threads).map(|thread| Arc::new(Registry::new(thread, threads))).collect())
    }

    pub(crate) fn each(&self) -> &[Arc<Registry<C>>] {
        self.0.get().map_or(&[], |registries| registries)
    }

    pub(crate) fn find(&self, id: ConnectionId) -> Option<Arc<C>> {
        let registries = self.each();
        let thread = (id.slot as usize).checked_rem(registries.len())?;
        registries[thread].find(id)
    }

    pub(crate) fn list(&self) -> Vec<ConnectionInfo> {
        let mut list = Vec::with_capacity(self.len());
        self.each().iter().for_each(|registry| registry.list(&mut list));
        list
    }

    pub(crate) fn len(&self) -> usize {
        self.each().iter().map(|registry| registry.len()).sum()
    }
}

impl Numbers {
    fn id(self, place: usize, generation: u32) -> ConnectionId {
        ConnectionId { slot: place as u32 * self.threads + self.thread, generation }
    }

    fn place(self, id: ConnectionId) -> usize {
        (id.slot / self.threads) as usize
    }
}

impl Registry {
    /// Wakes the connections whose deadline has come.
    pub(crate) fn sweep(&self, now: u64) {
        let due = |connection: &Arc<Shared>| (connection.due() <= now).then(|| Arc::clone(connection));
        // Mostly nothing is due: no room for it in advance.
        self.visit(Vec::new(), |_, entry| due(&entry.connection), |connection| connection.wake_owner());
    }

    /// Queues what `message` makes for each connection, and answers for how many it was.
    ///
    /// Why connections of another thread are not woken from here: each time would cost a system call and that runtime's lock.
    /// That thread is told once, and wakes them itself.
    pub(crate) fn broadcast(&self, message: impl Fn() -> Queued) -> usize {
        let elsewhere = self.home.get().is_some_and(|home| *home != std::thread::current().id());
        let mut queued = 0;
        self.each(|connection| {
            let pushed = if elsewhere {
                connection.leave_mail(message())
            } else {
                connection.push(message(), SlowReceiver::Wait)
            };
            queued += usize::from(pushed.is_ok());
        });
        if elsewhere {
            self.mail.notify_one();
        }
        queued
    }

    /// All these connections live on this thread from now on; wakes those for which other threads leave messages. Never ready.
    pub(crate) async fn deliver(&self) {
        let _ = self.home.set(std::thread::current().id());
        let waiting = |connection: &Arc<Shared>| connection.has_mail().then(|| Arc::clone(connection));
        loop {
            self.mail.notified().await;
            self.visit(
                Vec::new(),
                |_, entry| waiting(&entry.connection),
                |connection| connection.wake_owner(),
            );
        }
    }
}

impl<C> Registry<C> {
    fn new(thread: u32, threads: u32) -> Self {
        let slots = Slots { slices: Vec::new(), free: Vec::new() };
        Self {
            slots: RwLock::new(slots),
            numbers: Numbers { thread, threads },
            added: Notify::new(),
            home: OnceLock::new(),
            mail: Notify::new(),
        }
    }

    pub(crate) fn add(
        self: &Arc<Self>,
        connection: Arc<C>,
        peer: Option<SocketAddr>,
        route: Arc<str>,
    ) -> Registered<C> {
        let entry = Entry { connection, peer, route, since: Instant::now() };
        let mut slots = self.write();
        let slot = slots.free.pop().unwrap_or_else(|| slots.grow());
        let place = slots.place_mut(slot);
        place.entry = Some(entry);
        let id = self.numbers.id(slot as usize, place.generation);
        drop(slots);
        self.added.notify_one();
        Registered { registry: Arc::clone(self), id }
    }

    /// Ready when there are connections.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn inhabited(&self) {
        while self.len() == 0 {
            self.added.notified().await;
        }
    }

    fn find(&self, id: ConnectionId) -> Option<Arc<C>> {
        let slots = self.read();
        let (slice, at) = position(self.numbers.place(id) as u32);
        let slot = slots.slices.get(slice)?.get(at).filter(|slot| slot.generation == id.generation)?;
        slot.entry.as_ref().map(|entry| Arc::clone(&entry.connection))
    }

    fn list(&self, list: &mut Vec<ConnectionInfo>) {
        let info = |id, entry: &Entry<C>| {
            let Entry { peer, route, since, .. } = entry;
            Some(ConnectionInfo { id, peer: *peer, route: Arc::clone(route), since: *since })
        };
        self.visit(Vec::new(), info, |info| list.push(info));
    }

    fn len(&self) -> usize {
        let slots = self.read();
        slots.len() - slots.free.len()
    }

    /// Calls `act` with each connection that is there from the beginning of the call to its end, and not under the lock.
    pub(crate) fn each(&self, act: impl FnMut(Arc<C>)) {
        let picked = Vec::with_capacity(self.len().min(SLICE));
        self.visit(picked, |_, entry| Some(Arc::clone(&entry.connection)), act);
    }

    /// Calls `act` with what `pick` makes of each connection. `pick` is called under the lock, for a slice of them at a
    /// time; `act` is not. `picked`, which is empty, is where they are kept in between.
    fn visit<T>(
        &self,
        mut picked: Vec<T>,
        pick: impl Fn(ConnectionId, &Entry<C>) -> Option<T>,
        mut act: impl FnMut(T),
    ) {
        for number in 0.. {
            let slots = self.read();
            let Some(slice) = slots.slices.get(number) else { return };
            for (at, place) in slice.iter().enumerate() {
                let id = self.numbers.id(number * SLICE + at, place.generation);
                picked.extend(place.entry.as_ref().and_then(|entry| pick(id, entry)));
            }
            drop(slots);
            picked.drain(..).for_each(&mut act);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Slots<C>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Slots<C>> {
        self.slots.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> Slots<C> {
    /// Places, taken or not.
    fn len(&self) -> usize {
        self.slices.last().map_or(0, |last| (self.slices.len() - 1) * SLICE + last.len())
    }

    /// One more place, and its number.
    fn grow(&mut self) -> u32 {
        let slot = self.len();
        let place = Slot { generation: 0, entry: None };
        match self.slices.last_mut().filter(|last| last.len() < SLICE) {
            Some(last) => last.push(place),
            None => {
                let mut slice = Vec::with_capacity(SLICE);
                slice.push(place);
                self.slices.push(slice);
            }
        }
        slot as u32
    }

    fn place_mut(&mut self, slot: u32) -> &mut Slot<C> {
        let (slice, at) = position(slot);
        &mut self.slices[slice][at]
    }
}

/// In which slice a place is, and where in it.
const fn position(slot: u32) -> (usize, usize) {
    (slot as usize / SLICE, slot as usize % SLICE)
}

impl<C> Drop for Registered<C> {
    fn drop(&mut self) {
        let slot = self.registry.numbers.place(self.id);
        let mut slots = self.registry.write();
        let place = slots.place_mut(slot as u32);
        place.generation = place.generation.wrapping_add(1);
        let entry = place.entry.take();
        // A slot whose generations are used up is never used again.
        if place.generation != 0 {
            slots.free.push(slot as u32);
        }
        drop(slots);
        drop(entry);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::net::Ipv4Addr;

    use super::*;

    /// A registry with connections that are numbers, and their places.
    fn registry(n: usize) -> (Arc<Registry<usize>>, Vec<Registered<usize>>) {
        let registry = Arc::new(Registry::new(0, 1));
        let places = (0..n).map(|number| add(&registry, number)).collect();
        (registry, places)
    }

    fn add(registry: &Arc<Registry<usize>>, number: usize) -> Registered<usize> {
        registry.add(Arc::new(number), Some((Ipv4Addr::LOCALHOST, 1).into()), "/".into())
    }

    fn all(registry: &Registry<usize>) -> Vec<usize> {
        let mut all = Vec::new();
        registry.each(|number| all.push(*number));
        all
    }

    /// The sweep of deadlines held the lock from the first connection to the last, and woke their tasks under it.
    #[test]
    fn connections_that_came_waited_for_the_sweep_of_all_others() {
        let (registry, places) = registry(5 * SLICE + 7);
        let (under_lock, came) = (Cell::new(0), Cell::new(None));
        let mut seen = Vec::new();
        let pick = |_, entry: &Entry<usize>| {
            under_lock.set(under_lock.get() + 1);
            assert!(under_lock.get() <= SLICE, "that many places under one lock");
            Some(*entry.connection)
        };
        registry.visit(Vec::new(), pick, |number| {
            under_lock.set(0);
            assert!(registry.slots.try_write().is_ok(), "the lock is held meanwhile");
            if number == 3 {
                came.set(Some(add(&registry, places.len())));
            }
            seen.push(number);
        });
        // Each once, and the one that came in between too, since it came behind.
        assert!(seen.into_iter().eq(0..=places.len()));
    }

    #[test]
    fn all_that_are_there_are_visited_whatever_has_gone() {
        let (registry, mut places) = registry(3 * SLICE);
        places.retain(|place| place.id.slot % 3 == 0);
        let expected: Vec<usize> = places.iter().map(|place| place.id.slot as usize).collect();
        assert_eq!(all(&registry), expected);
        let mut list = Vec::new();
        registry.list(&mut list);
        assert!(list.iter().map(|info| info.id).eq(places.iter().map(|place| place.id)));
        assert_eq!(registry.len(), expected.len());
        drop(places);
        assert_eq!((all(&registry).len(), registry.len()), (0, 0));
    }

    #[test]
    fn a_number_says_whose_the_connection_is_and_is_nobody_elses() {
        let registries = Registries::default();
        let place = add(&Arc::new(Registry::new(0, 1)), 0);
        assert!(registries.find(place.id).is_none(), "it does not serve yet");
        let each = registries.divide(3);
        let mut places: Vec<_> = (0..30).map(|number| add(&each[number % 3], number)).collect();
        // Places that are used again.
        places.drain(7..19);
        places.extend((100..110).map(|number| add(&each[number % 3], number)));
        let numbers = places.iter().map(|place| *registries.find(place.id).unwrap());
        assert!(numbers.eq((0..7).chain(19..30).chain(100..110)));
        let mut listed: Vec<_> = registries.list().iter().map(|info| info.id).collect();
        let mut ids: Vec<_> = places.iter().map(|place| place.id).collect();
        listed.sort();
        ids.sort();
        assert_eq!(listed, ids);
        ids.dedup();
        assert_eq!((ids.len(), registries.len()), (places.len(), places.len()));
        let gone = places.pop().unwrap().id;
        assert!(registries.find(gone).is_none());
    }
}
