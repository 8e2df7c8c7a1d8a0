//! The server: a table of routes, memory of the caller's, and one worker for each socket.

mod exchanges;
mod responder;
mod route;
mod worker;

pub use route::{Acceptance, Opening, OriginPolicy, Respond, Route, Upgrade, WebSocketRoute};
pub use worker::Worker;

use core::time::Duration;

use wirelet_proto::{Config, Connection};

use crate::compression::Compression;
use crate::counters::Counters;
use crate::handle::Handle;
use crate::table::{Link, Slots};

/// The memory of a server: `CONNECTIONS` connections with `RX` bytes to receive into, `TX` to send from, and `QUEUE` for
/// what other tasks send, each.
///
/// - `RX` bounds a request's head with its body, and whole messages: one takes up to `RX − 139`
///   ([`wirelet_proto::FIXED_OVERHEAD`]). Chunks pass at any size.
/// - `TX` bounds a frame that is sent: its payload is at most `TX − 14` from a handler, which needs as much for an echo as was
///   received, and `TX − 153` from other tasks, which leave 139 bytes free for control frames and short answers.
/// - `QUEUE` holds messages, each with four bytes more.
///
/// What tasks send never holds up what a peer says, and two ends that both send much at once never wait for each other, when
/// `TX` has room for a queued message of the largest size, for the answer to a received one, 14 bytes more for each, and 139.
/// Several small messages of tasks take at most half of `TX − 139`. With a smaller `TX` that is still true for received messages
/// of up to 125 bytes, for chunks of any message, and for control frames; a larger message is delivered when its answer has
/// room, which is as soon as the peer has taken what waits.
///
/// Besides these a connection takes the core's state (some 300 bytes on 32 bits) and a slot (some 80).
#[derive(Debug)]
pub struct Resources<'c, const CONNECTIONS: usize, const RX: usize, const TX: usize, const QUEUE: usize> {
    slots: Slots<CONNECTIONS, TX, QUEUE>,
    memory: [Memory<'c, RX, TX>; CONNECTIONS],
}

/// What one worker owns.
#[derive(Debug)]
pub(crate) struct Memory<'c, const RX: usize, const TX: usize> {
    pub(crate) rx: [u8; RX],
    pub(crate) tx: [u8; TX],
    pub(crate) core: Place<Connection<&'c Config>>,
}

/// An `Option` whose empty state is all zeros, so that a static of it lies in `.bss` and takes no flash.
#[derive(Debug)]
#[repr(u8)]
pub(crate) enum Place<T> {
    Empty = 0,
    Taken(T) = 1,
}

impl<T> Place<T> {
    /// What is here.
    pub(crate) const fn get(&mut self) -> Option<&mut T> {
        match self {
            Self::Taken(value) => Some(value),
            Self::Empty => None,
        }
    }
}

impl<const RX: usize, const TX: usize> Memory<'_, RX, TX> {
    pub(crate) const fn new() -> Self {
        Self { rx: [0; RX], tx: [0; TX], core: Place::Empty }
    }
}

impl<const CONNECTIONS: usize, const RX: usize, const TX: usize, const QUEUE: usize>
    Resources<'_, CONNECTIONS, RX, TX, QUEUE>
{
    /// Memory that nobody uses yet, for a `static` or the stack of a task that never ends.
    pub const fn new() -> Self {
        const {
            assert!(CONNECTIONS > 0 && CONNECTIONS <= u16::MAX as usize);
            assert!(RX >= 256 && TX >= 256, "a request, a refusal or a control frame would not fit");
        }
        Self { slots: Slots::new(), memory: [const { Memory::new() }; CONNECTIONS] }
    }
}

impl<const CONNECTIONS: usize, const RX: usize, const TX: usize, const QUEUE: usize> Default
    for Resources<'_, CONNECTIONS, RX, TX, QUEUE>
{
    fn default() -> Self {
        Self::new()
    }
}

/// What a server answers and how long it waits. Limits of WebSockets are their routes'.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'c> {
    /// The routes; the first that matches answers.
    pub routes: &'c [Route<'c>],
    /// From a connection's first byte, or a request's, to the end of its head and body. Default: 10 s. Then 408.
    pub request_time: Duration,
    /// How long a connection is kept for the next request. Default: 5 s. When all workers are taken, who has waited longest
    /// for a request makes way for the next newcomer.
    pub keep_alive_time: Duration,
    /// How long a peer may take no byte of a response. Default: 10 s. `None`: for ever. WebSockets have
    /// [`Limits::stalled_time`](wirelet_proto::Limits::stalled_time).
    pub stalled_time: Option<Duration>,
    /// Bytes a second that a peer has to take of a response on average. Looked at after 10 minutes. Default: 32. `None`: any
    /// speed will do. WebSockets have [`Limits::slowest`](wirelet_proto::Limits::slowest).
    pub slowest: Option<u32>,
    /// From the moment that a worker notices [`Handle::stop`] to the end of its connection, whatever is queued. Default: 5 s.
    pub closing_time: Duration,
    /// After the last response of a connection: how long its peer's bytes are thrown away, so that it can read the response.
    /// Default: 5 s, in which TCP sends a lost packet again twice.
    pub linger_time: Duration,
    /// Header lines of a request. Default: 32. Their bytes are bounded by the receive buffer. Beyond either: 431.
    pub headers: u16,
    /// What is counted. Default: nothing.
    pub counters: Option<&'c Counters>,
    /// Workers that WebSockets leave to others, for pages and for telling who comes too late (503). Default: 1.
    pub spare: usize,
}

impl<'c> Settings<'c> {
    /// The defaults.
    pub const fn new(routes: &'c [Route<'c>]) -> Self {
        Self {
            routes,
            request_time: Duration::from_secs(10),
            keep_alive_time: Duration::from_secs(5),
            stalled_time: Some(Duration::from_secs(10)),
            slowest: Some(32),
            closing_time: Duration::from_secs(5),
            linger_time: Duration::from_secs(5),
            headers: 32,
            counters: None,
            spare: 1,
        }
    }
}

/// A server that is about to run: its workers.
#[derive(Debug)]
pub struct Server<'r, 'c, const CONNECTIONS: usize, const RX: usize, const TX: usize> {
    workers: [Worker<'r, 'c, RX, TX>; CONNECTIONS],
}

impl<'r, 'c, const CONNECTIONS: usize, const RX: usize, const TX: usize> Server<'r, 'c, CONNECTIONS, RX, TX> {
    /// A server in `resources`, and the handle to its connections.
    pub fn new<const QUEUE: usize>(
        resources: &'r mut Resources<'c, CONNECTIONS, RX, TX, QUEUE>,
        settings: &'c Settings<'c>,
    ) -> (Self, Handle<'r>) {
        let Resources { slots, memory } = resources;
        *slots = Slots::new();
        let table: &'r Slots<CONNECTIONS, TX, QUEUE> = slots;
        let mut index = 0;
        let workers = memory.each_mut().map(|memory| {
            let link = Link { table, index };
            index += 1;
            Worker::new(link, memory, settings)
        });
        (Self { workers }, Handle::new(table, settings))
    }

    /// With memory for compressed WebSockets.
    pub fn with_compression(mut self, compression: Compression<'r>) -> Self {
        for worker in &mut self.workers {
            worker.compress(compression);
        }
        self
    }

    /// With memory for a value of each WebSocket, which the upgrade hook hands to its handler ([`Acceptance::hand`]). The value is
    /// dropped when its WebSocket has ended.
    pub fn with_context<T: Send + 'static>(mut self, memory: &'r mut [Option<T>; CONNECTIONS]) -> Self {
        for (worker, context) in self.workers.iter_mut().zip(memory) {
            worker.keep_context(context);
        }
        self
    }

    /// One worker for each connection: give each a task (or a part of a `join`) and a listener of its own.
    pub fn into_workers(self) -> [Worker<'r, 'c, RX, TX>; CONNECTIONS] {
        self.workers
    }
}
