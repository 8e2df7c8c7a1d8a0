//! A client core against a server core over delaying links on a virtual clock.

use std::collections::VecDeque;

use wirelet_proto::{Config, Expired, Growable, Instant, MessageKind, Role, SendError, State, Status};

use crate::random::Rng;
use crate::trace::{Endpoint, endpoint};

/// One direction: bytes arrive in order, each some time after it was sent.
#[derive(Debug, Default)]
pub struct Link {
    flying: VecDeque<(u64, Vec<u8>)>,
    /// Bytes on the way.
    bytes: usize,
    /// When the sender shut down its side, and when that arrives.
    end: Option<u64>,
    /// How many bytes may be on the way; more wait at the sender.
    pub capacity: usize,
    /// The longest delay, milliseconds.
    pub delay: usize,
    /// How many bytes arrive in a second at the most; 0: any number.
    pub rate: usize,
    /// When the last byte has arrived, if it was slowed down by `rate`, microseconds.
    busy_until: u64,
}

impl Link {
    fn room(&self) -> usize {
        self.capacity.saturating_sub(self.bytes)
    }

    /// When `n` bytes arrive that leave now.
    fn arrival(&mut self, now: u64, n: usize, rng: &mut Rng) -> u64 {
        if self.rate > 0 {
            self.busy_until = self.busy_until.max(now * 1000) + n as u64 * 1_000_000 / self.rate as u64;
        }
        let delayed = now.max(self.busy_until.div_ceil(1000)) + rng.below(self.delay + 1) as u64;
        self.flying.back().map_or(delayed, |(last, _)| delayed.max(*last))
    }

    fn push(&mut self, at: u64, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.bytes += bytes.len();
            self.flying.push_back((at, bytes));
        }
    }

    /// Gives what has arrived to `take`, which answers how much of it was taken; answers the sum.
    fn pop(&mut self, now: u64, mut take: impl FnMut(&[u8]) -> usize) -> usize {
        let mut taken = 0;
        while let Some((at, bytes)) = self.flying.front_mut()
            && *at <= now
        {
            let n = take(bytes);
            taken += n;
            bytes.drain(..n);
            if !bytes.is_empty() {
                break;
            }
            self.flying.pop_front();
        }
        self.bytes -= taken;
        taken
    }

    fn next(&self) -> Option<u64> {
        self.flying.front().map(|(at, _)| *at).or(self.end)
    }
}

/// One end: its core and what its driver holds.
#[derive(Debug)]
pub struct End {
    /// The core, with what it has seen.
    pub endpoint: Endpoint<Growable>,
    /// Frames that were queued wholly.
    queue: VecDeque<Vec<u8>>,
    /// The frame at the front of the queue has begun to leave.
    begun: bool,
    /// The control slot has begun to leave.
    slot_begun: bool,
    /// Whether the driver reads.
    pub reading: bool,
    /// Whether the driver writes.
    pub writing: bool,
    /// What `handle_deadline` gave up waiting for.
    pub expired: Vec<Expired>,
    shut: bool,
}

impl End {
    fn new(role: Role, config: &Config, seed: u64) -> Self {
        let mut endpoint = endpoint(role, config);
        endpoint.keys = crate::random::Keys::new(seed);
        Self {
            endpoint,
            queue: VecDeque::new(),
            begun: false,
            slot_begun: false,
            reading: true,
            writing: true,
            expired: Vec::new(),
            shut: false,
        }
    }

    /// Queues a frame of a message.
    ///
    /// # Errors
    /// As the core's `begin_frame`.
    pub fn send(&mut self, kind: MessageKind, payload: &[u8], fin: bool) -> Result<(), SendError> {
        self.endpoint.sent.clear();
        self.endpoint.send(kind, payload, fin)?;
        self.queue.push_back(std::mem::take(&mut self.endpoint.sent));
        Ok(())
    }

    /// Sends a ping.
    ///
    /// # Errors
    /// As the core's `ping`.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        let Endpoint { connection, keys, now, .. } = &mut self.endpoint;
        connection.ping(payload, keys, *now)
    }

    /// Holds reading or goes on with it, and tells the core.
    pub fn hold_reading(&mut self, held: bool) {
        self.reading = !held;
        self.endpoint.connection.hold_reading(held, self.endpoint.now);
    }

    /// Whether nothing waits to be sent.
    pub fn is_flushed(&self) -> bool {
        self.queue.is_empty() && self.endpoint.connection.poll_transmit().is_empty()
    }

    /// Writes up to `room` bytes, in the order that the core's contract asks for.
    fn write(&mut self, room: usize) -> Vec<u8> {
        let connection = &mut self.endpoint.connection;
        let slot = connection.poll_transmit();
        let is_close = slot.first().is_some_and(|first| first & 0x0f == 8);
        let slot_may_go = !slot.is_empty() && !self.begun && (!is_close || self.queue.is_empty());
        if self.slot_begun || slot_may_go {
            let n = slot.len().min(room);
            let bytes = slot[..n].to_vec();
            self.slot_begun = n < slot.len() && (self.slot_begun || n > 0);
            connection.transmitted(n);
            return bytes;
        }
        let Some(frame) = self.queue.front_mut() else { return Vec::new() };
        let n = frame.len().min(room);
        let bytes: Vec<u8> = frame.drain(..n).collect();
        self.begun = !frame.is_empty() && (self.begun || n > 0);
        if frame.is_empty() {
            self.queue.pop_front();
        }
        bytes
    }

    /// How many bytes of frames wait to be sent.
    pub fn queued(&self) -> usize {
        self.queue.iter().map(Vec::len).sum()
    }

    /// Tells the core what has become of an attempt to write.
    fn report(&mut self, sent: usize) {
        self.endpoint.connection.sent(sent, self.queued(), self.endpoint.now);
    }

    /// Advances until more input, or a flush, is needed.
    fn advance(&mut self) -> bool {
        let before = (self.endpoint.seen.len(), self.endpoint.closed, self.endpoint.rx.is_empty());
        while matches!(self.endpoint.turn(), Ok(Status::Ready(_))) {}
        before != (self.endpoint.seen.len(), self.endpoint.closed, self.endpoint.rx.is_empty())
    }
}

/// Client and server.
#[derive(Debug)]
pub struct Pair {
    /// The ends: the client, then the server.
    pub ends: [End; 2],
    /// `links[i]` leads away from `ends[i]`.
    pub links: [Link; 2],
    /// The largest number of bytes that one write passes on.
    pub most_written: usize,
    rng: Rng,
    now: u64,
}

impl Pair {
    /// Two open ends, links without delay and with much room, at time zero.
    pub fn new(client: &Config, server: &Config, seed: u64) -> Self {
        let link = || Link { capacity: 1 << 20, ..Link::default() };
        Self {
            ends: [End::new(Role::Client, client, seed), End::new(Role::Server, server, !seed)],
            links: [link(), link()],
            most_written: usize::MAX,
            rng: Rng::new(seed),
            now: 0,
        }
    }

    /// The time, milliseconds.
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// Delivers what has arrived, advances, writes, and handles deadlines; `false` when nothing has happened.
    pub fn step(&mut self) -> bool {
        let mut busy = false;
        for i in 0..2 {
            busy |= self.deliver(i);
            busy |= self.ends[i].advance();
            busy |= self.write(i);
            busy |= self.deadline(i);
        }
        busy
    }

    /// Steps and lets time pass until `until` (milliseconds), or until nothing will ever happen again.
    pub fn drive(&mut self, until: u64) {
        loop {
            while self.step() {}
            match self.next_moment().map(|next| next.max(self.now + 1)) {
                Some(next) if next <= until => self.set_time(next),
                _ => break,
            }
        }
        self.set_time(until);
    }

    /// When something happens next.
    pub fn next_moment(&self) -> Option<u64> {
        let deadline = |end: &End| end.endpoint.connection.poll_deadline().map(Instant::as_millis);
        let arrival = |i: usize| self.ends[1 - i].reading.then(|| self.links[i].next()).flatten();
        let moments = [deadline(&self.ends[0]), deadline(&self.ends[1]), arrival(0), arrival(1)];
        moments.into_iter().flatten().min()
    }

    /// Whether both ends are closed and hold nothing.
    pub fn is_over(&self) -> bool {
        self.ends.iter().all(|end| end.endpoint.connection.state() == State::Closed && end.is_flushed())
    }

    fn set_time(&mut self, now: u64) {
        self.now = self.now.max(now);
        for end in &mut self.ends {
            end.endpoint.now = Instant::from_millis(self.now);
        }
    }

    /// What has arrived at end `i` goes into its buffer.
    fn deliver(&mut self, i: usize) -> bool {
        let (end, link) = (&mut self.ends[i], &mut self.links[1 - i]);
        if !end.reading {
            return false;
        }
        // A core that waits for its slot takes no input; a closed one discards it.
        let n = link.pop(self.now, |bytes| match end.endpoint.closed {
            true => bytes.len(),
            false => end.endpoint.read(bytes),
        });
        let ended = link.flying.is_empty() && link.end.is_some_and(|at| at <= self.now);
        if ended {
            link.end = None;
            while matches!(end.endpoint.turn(), Ok(Status::Ready(_))) {}
            end.endpoint.connection.received_eof();
        }
        n > 0 || ended
    }

    fn write(&mut self, i: usize) -> bool {
        let (end, link) = (&mut self.ends[i], &mut self.links[i]);
        if !end.writing || end.shut {
            return false;
        }
        let most = self.most_written.min(link.room());
        let bytes = end.write(if most > 1 { 1 + self.rng.below(most) } else { most });
        end.report(bytes.len());
        let at = link.arrival(self.now, bytes.len(), &mut self.rng);
        let wrote = !bytes.is_empty();
        link.push(at, bytes);
        if end.endpoint.closed && end.is_flushed() {
            // After the closing handshake, or a failure: shut down the writing side.
            end.shut = true;
            link.end = Some(at);
            return true;
        }
        wrote
    }

    fn deadline(&mut self, i: usize) -> bool {
        let end = &mut self.ends[i];
        let Endpoint { connection, keys, now, .. } = &mut end.endpoint;
        let before = connection.poll_deadline();
        let expired = connection.handle_deadline(keys, *now);
        end.expired.extend(expired);
        expired.is_some() || connection.poll_deadline() != before
    }
}
