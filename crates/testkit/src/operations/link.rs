//! A byte stream both ways, as a TCP connection is seen from one end: narrow, hesitant, and able to break.
//!
//! Bytes that were received before a reset stay readable, as on Linux. An end that is dropped with bytes unread
//! resets the connection, and what it had sent and the other end had not read is gone.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Result};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use super::Pulse;
use crate::random::Rng;

/// What a link is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bytes in flight, from the end under test to its peer.
    pub outgoing: usize,
    /// Bytes in flight, from the peer.
    pub incoming: usize,
    /// The most that one read or write of the end under test moves, bytes.
    pub most: usize,
    /// One read or write in so many is told to come again at once; 0: none.
    pub hesitates: usize,
}

/// Both ends of a link; the scripted peer and the test hold it.
#[derive(Clone, Debug)]
pub struct Link(Arc<Mutex<State>>);

/// The end under test. Dropping it closes it.
#[derive(Debug)]
pub struct Local(Link);

#[derive(Debug)]
struct State {
    shape: Shape,
    rng: Rng,
    pulse: Pulse,
    outgoing: Way,
    incoming: Way,
    /// Who is to be woken when nothing is locked any more.
    woken: Vec<Waker>,
    /// The peer has reset the connection.
    reset: bool,
    /// The end under test has been told so.
    reset_told: bool,
    /// The end under test is dropped.
    dropped: bool,
    /// It was dropped with bytes unread.
    dropped_unread: bool,
    /// Reads of the end under test: all bytes so far, the step, the time.
    reads: Vec<(u64, u64, u64)>,
    /// Bytes written since the last read, while there was something to read.
    starved: u64,
    /// Since when the end under test can't write, milliseconds.
    blocked: Option<u64>,
    /// The longest time in which it could not.
    longest_blocked: u64,
    /// When it has last written a byte, and when a byte was last read or written by either end.
    written_at: u64,
    moved_at: u64,
    /// When the peer has last shown that it lives, milliseconds: a byte of it was read, or it made room for one that could
    /// not be written before.
    alive: u64,
    /// The longest time between two such moments.
    longest_silence: u64,
}

#[derive(Debug, Default)]
struct Way {
    bytes: VecDeque<u8>,
    passed: u64,
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Way {
    fn wake(&mut self, woken: &mut Vec<Waker>) {
        woken.extend(self.reader.take());
        woken.extend(self.writer.take());
    }

    fn put(&mut self, data: &[u8], woken: &mut Vec<Waker>) {
        self.bytes.extend(data);
        woken.extend(self.reader.take());
    }

    fn take(&mut self, into: &mut [u8], woken: &mut Vec<Waker>) -> usize {
        let n = into.len().min(self.bytes.len());
        let (front, back) = self.bytes.as_slices();
        let first = n.min(front.len());
        into[..first].copy_from_slice(&front[..first]);
        into[first..n].copy_from_slice(&back[..n - first]);
        self.bytes.drain(..n);
        self.passed += n as u64;
        woken.extend(self.writer.take());
        n
    }
}

impl Link {
    /// A link and its end under test.
    pub fn new(shape: Shape, seed: u64, pulse: Pulse) -> (Self, Local) {
        let link = Self(Arc::new(Mutex::new(State {
            shape,
            rng: Rng::new(seed),
            pulse,
            outgoing: Way::default(),
            incoming: Way::default(),
            woken: Vec::new(),
            reset: false,
            reset_told: false,
            dropped: false,
            dropped_unread: false,
            reads: Vec::new(),
            starved: 0,
            blocked: None,
            longest_blocked: 0,
            written_at: 0,
            moved_at: 0,
            alive: 0,
            longest_silence: 0,
        })));
        let local = Local(link.clone());
        (link, local)
    }

    fn lock(&self) -> Locked<'_> {
        Locked(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    // ---- the peer's end ----

    /// Reads up to `into.len()` bytes; 0 at the end.
    ///
    /// # Errors
    /// The end under test has been dropped with bytes unread.
    pub fn peer_read(&self, cx: &Context<'_>, into: &mut [u8]) -> Poll<Result<usize>> {
        let state = &mut *self.lock();
        if !state.outgoing.bytes.is_empty() {
            state.pulse.moves();
            state.moved_at = state.pulse.now();
            return Poll::Ready(Ok(state.outgoing.take(into, &mut state.woken)));
        }
        if state.dropped_unread {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        if state.outgoing.ended {
            return Poll::Ready(Ok(0));
        }
        state.outgoing.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Writes some of `data`.
    ///
    /// # Errors
    /// The end under test is gone.
    pub fn peer_write(&self, cx: &Context<'_>, data: &[u8]) -> Poll<Result<usize>> {
        let state = &mut *self.lock();
        if state.dropped {
            state.drop_unread();
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let room = state.shape.incoming.saturating_sub(state.incoming.bytes.len());
        let n = room.min(data.len());
        if n == 0 {
            state.incoming.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.pulse.moves();
        state.incoming.put(&data[..n], &mut state.woken);
        Poll::Ready(Ok(n))
    }

    /// The peer sends nothing more.
    pub fn peer_end(&self) {
        let state = &mut *self.lock();
        state.pulse.moves();
        state.incoming.ended = true;
        state.woken.extend(state.incoming.reader.take());
    }

    /// The peer resets the connection: what it has not read is gone.
    pub fn peer_reset(&self) {
        let state = &mut *self.lock();
        state.pulse.moves();
        state.reset = true;
        state.outgoing.bytes.clear();
        state.incoming.wake(&mut state.woken);
        state.outgoing.wake(&mut state.woken);
    }

    // ---- what is known about the end under test ----

    /// Whether the end under test is dropped.
    pub fn is_dropped(&self) -> bool {
        self.lock().dropped
    }

    /// Whether it was dropped with bytes unread, so that the peer has lost what was on its way.
    pub fn is_dropped_unread(&self) -> bool {
        self.lock().dropped_unread
    }

    /// How many bytes the end under test has read before this step.
    pub fn read_before(&self, step: u64) -> u64 {
        self.lock().reads.iter().rev().find(|read| read.1 < step).map_or(0, |read| read.0)
    }

    /// How many bytes the end under test has read before this time, milliseconds.
    pub fn read_before_time(&self, now: u64) -> u64 {
        self.lock().reads.iter().rev().find(|read| read.2 < now).map_or(0, |read| read.0)
    }

    /// How many bytes the end under test has read.
    pub fn read(&self) -> u64 {
        self.lock().incoming.passed
    }

    /// How many bytes of the peer have entered the link.
    pub fn delivered(&self) -> u64 {
        let state = self.lock();
        state.incoming.passed + state.incoming.bytes.len() as u64
    }

    /// Bytes of the peer that the end under test has not read.
    pub fn unread(&self) -> usize {
        self.lock().incoming.bytes.len()
    }

    /// How many bytes the end under test has written since it last read, while there was something to read.
    pub fn starved(&self) -> u64 {
        self.lock().starved
    }

    /// Wakes the peer when anything happens to the end under test.
    pub fn peer_waits(&self, cx: &Context<'_>) {
        self.lock().outgoing.reader = Some(cx.waker().clone());
    }

    /// Bytes that the end under test has written and the peer has not read.
    pub fn in_flight(&self) -> usize {
        self.lock().outgoing.bytes.len()
    }

    /// When the end under test has last written a byte, milliseconds.
    pub fn written_at(&self) -> u64 {
        self.lock().written_at
    }

    /// When a byte was last read or written, milliseconds.
    pub fn moved_at(&self) -> u64 {
        self.lock().moved_at
    }

    /// The longest time in which the end under test had something to write and could not, milliseconds.
    pub fn longest_blocked(&self) -> u64 {
        let state = self.lock();
        state.longest_blocked.max(state.blocked.map_or(0, |since| state.pulse.now() - since))
    }

    /// The longest time in which the peer has not shown that it lives, milliseconds.
    pub fn longest_silence(&self) -> u64 {
        let state = self.lock();
        state.longest_silence.max(state.pulse.now() - state.alive)
    }
}

/// The state, locked. Whoever is to be woken is woken when it is free again: a waker may do anything.
struct Locked<'a>(Option<MutexGuard<'a, State>>);

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.0.as_mut().expect("it is there until it is dropped")
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let woken = self.0.take().map(|mut state| std::mem::take(&mut state.woken));
        woken.into_iter().flatten().for_each(Waker::wake);
    }
}

impl State {
    fn lives(&mut self) {
        self.pulse.moves();
        let now = self.pulse.now();
        self.moved_at = now;
        self.longest_silence = self.longest_silence.max(now - self.alive);
        self.alive = now;
    }

    fn drop_unread(&mut self) {
        self.dropped_unread = true;
        self.outgoing.bytes.clear();
        self.outgoing.wake(&mut self.woken);
    }

    /// How much may move now, of `wanted`; `Pending` to come again.
    fn grant(&mut self, cx: &Context<'_>, wanted: usize) -> Poll<usize> {
        if self.shape.hesitates > 0 && self.rng.one_in(self.shape.hesitates) {
            self.pulse.moves();
            self.woken.push(cx.waker().clone());
            return Poll::Pending;
        }
        let most = self.shape.most.min(wanted);
        Poll::Ready(if most > 1 && self.rng.one_in(4) { 1 + self.rng.below(most) } else { most })
    }

    /// The first error after a reset says so; then it is an end for who reads and a broken pipe for who writes.
    fn reset_error(&mut self) -> Option<Error> {
        (!std::mem::replace(&mut self.reset_told, true)).then(|| ErrorKind::ConnectionReset.into())
    }
}

impl Local {
    /// Reads up to `into.len()` bytes; 0 at the end.
    ///
    /// # Errors
    /// The peer has reset the connection, and all that it sent before was read.
    pub fn read(&self, cx: &Context<'_>, into: &mut [u8]) -> Poll<Result<usize>> {
        let state = &mut *self.0.lock();
        state.pulse.is_called();
        if into.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if state.incoming.bytes.is_empty() {
            if state.reset {
                return Poll::Ready(state.reset_error().map_or(Ok(0), Err));
            }
            if state.incoming.ended {
                return Poll::Ready(Ok(0));
            }
            state.incoming.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let most = ready!(state.grant(cx, into.len()));
        let n = state.incoming.take(&mut into[..most], &mut state.woken);
        state.starved = 0;
        state.lives();
        let read = (state.incoming.passed, state.pulse.step(), state.pulse.now());
        state.reads.push(read);
        Poll::Ready(Ok(n))
    }

    /// Writes some of `data`.
    ///
    /// # Errors
    /// The peer has reset the connection, or this end has been shut down.
    pub fn write(&self, cx: &Context<'_>, data: &[u8]) -> Poll<Result<usize>> {
        let state = &mut *self.0.lock();
        state.pulse.is_called();
        if state.reset || state.outgoing.ended {
            let error = if state.reset { state.reset_error() } else { None };
            return Poll::Ready(Err(error.unwrap_or_else(|| ErrorKind::BrokenPipe.into())));
        }
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = state.shape.outgoing.saturating_sub(state.outgoing.bytes.len());
        if room == 0 {
            let now = state.pulse.now();
            state.blocked.get_or_insert(now);
            state.outgoing.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = ready!(state.grant(cx, room.min(data.len())));
        state.outgoing.put(&data[..n], &mut state.woken);
        state.starved += if state.incoming.bytes.is_empty() { 0 } else { n as u64 };
        state.written_at = state.pulse.now();
        state.moved_at = state.pulse.now();
        match state.blocked.take() {
            Some(since) => {
                state.longest_blocked = state.longest_blocked.max(state.written_at - since);
                state.lives();
            }
            None => state.pulse.moves(),
        }
        Poll::Ready(Ok(n))
    }

    /// This end sends nothing more.
    pub fn shutdown(&self) {
        let state = &mut *self.0.lock();
        state.pulse.moves();
        state.outgoing.ended = true;
        state.woken.extend(state.outgoing.reader.take());
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let state = &mut *self.0.lock();
        state.pulse.moves();
        state.dropped = true;
        state.outgoing.ended = true;
        if !state.incoming.bytes.is_empty() {
            state.drop_unread();
        }
        state.outgoing.wake(&mut state.woken);
        state.incoming.wake(&mut state.woken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { outgoing: 4, incoming: 4, most: usize::MAX, hesitates: 0 };

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    #[test]
    fn what_came_before_a_reset_is_read_and_then_its_error_once() {
        let (link, local) = Link::new(SHAPE, 1, Pulse::default());
        let (cx, mut into) = (&context(), [0; 8]);
        assert!(matches!(link.peer_write(cx, b"hello"), Poll::Ready(Ok(4))));
        link.peer_reset();
        assert!(matches!(local.read(cx, &mut into[..3]), Poll::Ready(Ok(1..=3))));
        while let Poll::Ready(Ok(1..)) = local.read(cx, &mut into) {}
        assert!(matches!(local.read(cx, &mut into), Poll::Ready(Ok(0))), "the error was told");
        let error = match local.write(cx, b"x") {
            Poll::Ready(Err(error)) => error.kind(),
            other => panic!("{other:?}"),
        };
        assert_eq!(error, ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_full_link_takes_nothing_and_room_in_it_is_a_sign_of_life() {
        let pulse = Pulse::default();
        let (link, local) = Link::new(SHAPE, 1, pulse.clone());
        let (cx, mut into) = (&context(), [0; 8]);
        let mut written = 0;
        while let Poll::Ready(Ok(n)) = local.write(cx, b"hello") {
            written += n;
        }
        assert_eq!((written, link.in_flight()), (4, 4));
        pulse.begin_step(1000);
        assert_eq!(link.longest_silence(), 1000);
        assert!(matches!(link.peer_read(cx, &mut into[..1]), Poll::Ready(Ok(1))));
        assert!(matches!(local.write(cx, b"hello"), Poll::Ready(Ok(1))));
        pulse.begin_step(1500);
        assert_eq!(link.longest_silence(), 1000);
    }

    #[test]
    fn an_end_that_is_dropped_with_bytes_unread_resets_the_connection() {
        let (link, local) = Link::new(SHAPE, 1, Pulse::default());
        let (cx, mut into) = (&context(), [0; 8]);
        assert!(matches!(local.write(cx, b"hi"), Poll::Ready(Ok(_))));
        assert!(matches!(link.peer_write(cx, b"hi"), Poll::Ready(Ok(2))));
        drop(local);
        assert!(link.is_dropped_unread());
        assert!(matches!(link.peer_read(cx, &mut into), Poll::Ready(Err(_))));
    }
}
