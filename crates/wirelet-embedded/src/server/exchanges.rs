//! An async function beside the connection whose request it answers.
//!
//! As in [`session`](crate::session), both are in one task: while the loop waits for the socket, any wake ends the wait, since nobody can
//! tell whose it was, and the function is polled with the buffers free.

use core::cell::Cell;
use core::future::{pending, poll_fn, ready};
use core::pin::pin;
use core::task::Poll;

use embedded_io_async::{Read as _, Write as _};
use wirelet_proto::Instant;

use super::Settings;
use crate::Outcome;
use crate::http::{Begin, Error, Exchange, Framing, Request, Transfer};
use crate::net::Socket;
use crate::progress::Progress;
use crate::table::{Link, Order};
use crate::time::{Clock, before, earlier, yield_now};

/// After so many turns other tasks have theirs.
const TURNS: u8 = 16;

/// Who answers requests of routes for an async function.
pub(crate) trait Serve: Copy {
    /// Whether there is one.
    const PRESENT: bool;

    /// Has it answer a request; `None` when the connection is lost.
    fn serve<S: Socket, C: Clock>(
        self,
        asked: Asked<'_>,
        socket: &mut S,
        around: Around<'_, C>,
    ) -> impl Future<Output = Option<Served>>;
}

/// Nobody: such requests are refused.
#[derive(Clone, Copy)]
pub(crate) struct Nobody;

/// An async function.
pub(crate) struct Exchanges<'f, F>(pub(crate) &'f F);

impl<F> Copy for Exchanges<'_, F> {}

impl<F> Clone for Exchanges<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

/// A request whose head has arrived.
pub(crate) struct Asked<'a> {
    pub(crate) request: Request<'a>,
    /// The name of its route.
    pub(crate) name: &'a str,
    pub(crate) begin: Begin<'a>,
    /// For the body, of which so many bytes are there.
    pub(crate) rx: &'a mut [u8],
    pub(crate) filled: usize,
    pub(crate) tx: &'a mut [u8],
}

/// What the connection has besides its buffers.
pub(crate) struct Around<'a, C> {
    pub(crate) link: Link<'a>,
    pub(crate) clock: &'a C,
    pub(crate) settings: &'a Settings<'a>,
}

/// A request that was answered, or is to be refused.
pub(crate) struct Served {
    pub(crate) refusal: Option<(u16, &'static str)>,
    /// The connection may be kept.
    pub(crate) keep: bool,
    /// What follows the body in the room for it.
    pub(crate) from: usize,
    pub(crate) filled: usize,
}

impl Serve for Nobody {
    const PRESENT: bool = false;

    fn serve<S: Socket, C: Clock>(
        self,
        _: Asked<'_>,
        _: &mut S,
        _: Around<'_, C>,
    ) -> impl Future<Output = Option<Served>> {
        ready(None)
    }
}

impl<F: AsyncFn(Exchange<'_>) -> O, O: Outcome> Serve for Exchanges<'_, F> {
    const PRESENT: bool = true;

    async fn serve<S: Socket, C: Clock>(
        self,
        asked: Asked<'_>,
        socket: &mut S,
        around: Around<'_, C>,
    ) -> Option<Served> {
        let Asked { request, name, begin, rx, filled, tx } = asked;
        let content_length = match begin.framing {
            Framing::Length(len) => Some(len),
            Framing::Chunked => None,
        };
        let transfer = Transfer::new(begin, rx, filled, tx);
        let outcome = Cell::new(None);
        let mut function = pin!(async {
            let exchange = Exchange::new(request, name, content_length, &transfer);
            outcome.set(Some((self.0)(exchange).await.is_success()));
        });
        let mut pace = Pace::new(around.clock.now());
        let mut refusal = None;
        let mut turns = 0;
        loop {
            if outcome.get().is_none() {
                poll_fn(|cx| Poll::Ready(function.as_mut().poll(cx).is_ready())).await;
                refusal = outcome.get().and_then(|well| transfer.state().over(well));
            }
            let over = outcome.get().is_some();
            if transfer.state().is_gone() {
                if !over {
                    let now = around.clock.now();
                    let last = now.plus(around.settings.closing_time);
                    let ends = around.link.ends(now, around.settings.closing_time);
                    before(around.clock, ends.map_or(last, |ends| ends.min(last)), function.as_mut()).await;
                }
                return None;
            }
            if transfer.state().seal(over) {
                let state = transfer.state();
                return Some(Served {
                    refusal,
                    keep: state.keeps(),
                    from: state.rx.from,
                    filled: state.rx.filled,
                });
            }
            pace.turn(&transfer, socket, &around, over).await;
            turns = (turns + 1) % TURNS;
            if turns == 0 {
                yield_now().await;
            }
        }
    }
}

/// How fast both directions are.
struct Pace {
    /// Of the response, while any of it waits.
    outward: Option<Progress>,
    /// Of the body, while the function waits for it.
    inward: Progress,
    /// Since when the function has not waited for it.
    paused: Option<Instant>,
}

/// What a turn has brought.
enum Came<E> {
    Read(Result<usize, E>),
    Wrote(Result<usize, E>),
    /// Something for the connection as a whole.
    Noticed,
    Due,
    /// The function may go on.
    Woken,
}

impl Pace {
    const fn new(now: Instant) -> Self {
        Self { outward: None, inward: Progress::new(now), paused: Some(now) }
    }

    /// Waits for the first thing that happens, and takes it in.
    async fn turn<S: Socket, C: Clock>(
        &mut self,
        transfer: &Transfer<'_>,
        socket: &mut S,
        around: &Around<'_, C>,
        over: bool,
    ) {
        let Around { link, clock, settings } = *around;
        let now = clock.now();
        let ends = link.ends(now, settings.closing_time);
        let (rx, tx, range, unsent);
        {
            let mut state = transfer.state();
            // Whoever still sends would not read the response before all is sent.
            let thrown = over && !state.keeps();
            state.rx.make_room(thrown);
            self.waits(state.tx.sent < state.tx.len, state.rx.wanted, now);
            let open = !state.rx.ended;
            range = state.rx.filled..if open { state.rx.buffer.len() } else { state.rx.filled };
            unsent = state.tx.sent..state.tx.len;
            (rx, tx) = (core::mem::take(&mut state.rx.buffer), core::mem::take(&mut state.tx.buffer));
        }
        let Settings { stalled_time, slowest, .. } = *settings;
        let outward = earlier(ends, self.outward.and_then(|outward| outward.deadline(stalled_time, slowest)));
        let inward = self.inward.deadline(stalled_time, slowest).filter(|_| self.paused.is_none());
        let deadline = earlier(outward, inward);
        let came = if ends.is_some_and(|ends| ends <= now) {
            Came::Due
        } else {
            let (mut reader, mut writer) = socket.split();
            let (into, from) = (rx.get_mut(range).unwrap_or_default(), tx.get(unsent).unwrap_or_default());
            let mut write =
                pin!(async { if from.is_empty() { pending().await } else { writer.write(from).await } });
            let mut read =
                pin!(async { if into.is_empty() { pending().await } else { reader.read(into).await } });
            let mut alarm = pin!(async {
                match deadline {
                    Some(deadline) => clock.wait_until(deadline).await,
                    None => pending().await,
                }
            });
            let mut polled = false;
            poll_fn(|cx| {
                if let Poll::Ready(wrote) = write.as_mut().poll(cx) {
                    return Poll::Ready(Came::Wrote(wrote));
                }
                if let Poll::Ready(read) = read.as_mut().poll(cx) {
                    return Poll::Ready(Came::Read(read));
                }
                if link.poll_noticed(cx).is_ready() {
                    return Poll::Ready(Came::Noticed);
                }
                if alarm.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Came::Due);
                }
                let woken = core::mem::replace(&mut polled, true);
                if woken { Poll::Ready(Came::Woken) } else { Poll::Pending }
            })
            .await
        };
        let mut state = transfer.state();
        (state.rx.buffer, state.tx.buffer) = (rx, tx);
        let now = clock.now();
        match came {
            Came::Wrote(Ok(n @ 1..)) => {
                state.tx.took(n);
                if let Some(outward) = &mut self.outward {
                    outward.took(n, slowest, now);
                }
                state.wake();
            }
            Came::Read(Ok(n)) => {
                state.rx.filled = state.rx.filled.saturating_add(n);
                state.rx.ended = n == 0;
                self.inward.took(n, slowest, now);
                state.wake();
            }
            Came::Wrote(_) | Came::Read(Err(_)) => state.lose(),
            Came::Due if outward.is_some_and(|outward| outward <= now) => state.lose(),
            Came::Due => {
                state.fail(Error::Timeout);
                state.wake();
            }
            Came::Noticed => {
                let closed = link.with(|slot, _| matches!(slot.order, Order::Close(_)));
                if closed != Some(false) {
                    state.lose();
                }
            }
            Came::Woken => {}
        }
    }

    /// Notes whose turn it is.
    fn waits(&mut self, unsent: bool, wanted: bool, now: Instant) {
        self.outward = unsent.then(|| self.outward.unwrap_or(Progress::new(now)));
        match (wanted, self.paused) {
            (true, Some(paused)) => {
                self.inward.resume(paused, now);
                self.paused = None;
            }
            (false, None) => self.paused = Some(now),
            _ => {}
        }
    }
}
