//! When who sends.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::options::Options;
use crate::peers::Peers;
use crate::traffic::Pattern;
use crate::watch::Histogram;

/// When messages left whose answers have not come, for each connection: answers keep the order.
struct Asked(Vec<VecDeque<Instant>>);

impl Asked {
    fn new(options: &Options) -> Self {
        Self((0..options.connections).map(|_| VecDeque::with_capacity(options.in_flight)).collect())
    }

    #[inline]
    fn note(&mut self, peer: usize, count: usize, when: Instant) {
        self.0[peer].extend(std::iter::repeat_n(when, count));
    }

    /// Adds how long these answers took.
    #[inline]
    fn answered(
        &mut self,
        peer: usize,
        count: usize,
        now: Instant,
        times: &mut Histogram,
    ) -> Result<(), Failure> {
        let asked = &mut self.0[peer];
        if asked.len() < count {
            return Err(Failure("more answers than messages".into()));
        }
        asked.drain(..count).for_each(|when| times.add(now.saturating_duration_since(when)));
        Ok(())
    }
}

/// So many messages of each connection are on their way all the time.
pub(crate) struct Echo {
    in_flight: usize,
    asked: Asked,
}

impl Echo {
    pub(crate) fn new(options: &Options) -> Self {
        Self { in_flight: options.in_flight, asked: Asked::new(options) }
    }
}

impl Pattern for Echo {
    fn begin(&mut self, peers: &mut Peers) -> Result<(), Failure> {
        for peer in 0..peers.len() {
            self.asked.note(peer, self.in_flight, Instant::now());
            peers.send(peer, self.in_flight)?;
        }
        Ok(())
    }

    #[inline]
    fn came(
        &mut self,
        peers: &mut Peers,
        peer: usize,
        count: usize,
        now: Instant,
        times: &mut Histogram,
    ) -> Result<(), Failure> {
        self.asked.answered(peer, count, now, times)?;
        self.asked.note(peer, count, now);
        peers.send(peer, count)
    }
}

/// The first connection sends, the server sends it to all. So many messages are on their way that not all have got.
pub(crate) struct Broadcast {
    in_flight: usize,
    connections: u64,
    sent: u64,
    delivered: u64,
    asked: Asked,
}

impl Broadcast {
    pub(crate) fn new(options: &Options) -> Self {
        let asked = Asked::new(options);
        Self {
            in_flight: options.in_flight,
            connections: options.connections as u64,
            sent: 0,
            delivered: 0,
            asked,
        }
    }

    fn send(&mut self, peers: &mut Peers, count: usize) -> Result<(), Failure> {
        self.sent += count as u64;
        self.asked.note(0, count, Instant::now());
        peers.send(0, count)
    }
}

impl Pattern for Broadcast {
    const TO_ALL: bool = true;

    fn begin(&mut self, peers: &mut Peers) -> Result<(), Failure> {
        self.send(peers, self.in_flight)
    }

    #[inline]
    fn came(
        &mut self,
        _peers: &mut Peers,
        peer: usize,
        count: usize,
        now: Instant,
        times: &mut Histogram,
    ) -> Result<(), Failure> {
        self.delivered += count as u64;
        if peer == 0 { self.asked.answered(peer, count, now, times) } else { Ok(()) }
    }

    #[inline]
    fn turn(&mut self, peers: &mut Peers, _now: Instant) -> Result<(), Failure> {
        let on_their_way = (self.sent - self.delivered / self.connections) as usize;
        match self.in_flight.saturating_sub(on_their_way) {
            0 => Ok(()),
            count => self.send(peers, count),
        }
    }
}

/// Messages leave at a fixed rate, one connection after the other, and their time counts from when they should have left:
/// a server that stands still keeps nobody from asking.
pub(crate) struct Paced {
    pause: Duration,
    next: Instant,
    peer: usize,
    asked: Asked,
}

impl Paced {
    pub(crate) fn new(options: &Options) -> Self {
        let pause = Duration::from_secs_f64(1.0 / options.rate);
        Self { pause, next: Instant::now(), peer: 0, asked: Asked::new(options) }
    }
}

impl Pattern for Paced {
    fn begin(&mut self, _peers: &mut Peers) -> Result<(), Failure> {
        self.next = Instant::now();
        Ok(())
    }

    #[inline]
    fn came(
        &mut self,
        _peers: &mut Peers,
        peer: usize,
        count: usize,
        now: Instant,
        times: &mut Histogram,
    ) -> Result<(), Failure> {
        self.asked.answered(peer, count, now, times)
    }

    #[inline]
    fn turn(&mut self, peers: &mut Peers, now: Instant) -> Result<(), Failure> {
        while self.next <= now {
            self.asked.note(self.peer, 1, self.next);
            peers.send(self.peer, 1)?;
            self.next += self.pause;
            self.peer = (self.peer + 1) % peers.len();
        }
        Ok(())
    }
}
