//! A session with a future beside it: the future takes events and sends between two turns of the loop.
//!
//! Both are in one task. While the loop waits for the socket, the session is borrowed by it; the future is polled only in between.
//! Whatever has woken the task ends the wait, since it may have been something that the future waits for.

use core::cell::{Cell, RefCell, RefMut};
use core::future::poll_fn;
use core::ops::DerefMut;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};

use wirelet_proto::deflate::Params;
use wirelet_proto::{CloseCode, Event, Instant, MAX_HEADER, MessageKind};

use super::{Company, Inbound, Next, Opened, Seat, Session, Surroundings, Taker, drive};
use crate::Outcome;
use crate::compression::largest_for;
use crate::context::Room;
use crate::handler::{Author, End, Line as _};
use crate::net::Socket;
use crate::table::{ConnectionId, Link, Phase, SendReason};
use crate::time::{Clock, before};
use crate::websocket::{Channel, Error, Shape, WebSocket};

/// A session that its handler's future shares with the loop.
struct Pulled<'x, 'm, 'c> {
    session: RefCell<&'x mut Session<'m, 'c>>,
    link: Link<'x>,
    id: ConnectionId,
    now: Cell<Instant>,
    /// Bytes of the chunk that is ready which were taken already.
    taken: Cell<usize>,
    /// The future has changed the session since it was asked.
    changed: Cell<bool>,
    /// The future has begun to close the connection.
    closing: Cell<bool>,
    /// How the connection ended, once it has.
    end: Cell<Option<End>>,
    /// Who waits with a waker of its own: for an event, and for room.
    receiver: Cell<Option<Waker>>,
    sender: Cell<Option<Waker>>,
}

/// The future, as the loop polls it.
struct Beside<'b, 'x, 'm, 'c, F> {
    pulled: &'b Pulled<'x, 'm, 'c>,
    future: Pin<&'b mut F>,
    done: &'b Cell<bool>,
}

/// Runs an open WebSocket with `handle` as its handler, to the end of both. `handler` is told of the beginning and the end.
///
/// When the future is over the connection is closed; when the connection is over the future has the closing time to end.
pub(crate) async fn pull<S, C, F, O>(
    session: &mut Session<'_, '_>,
    socket: &mut S,
    around: &Surroundings<'_, C>,
    route: &str,
    handle: &F,
) -> End
where
    S: Socket,
    C: Clock,
    F: AsyncFn(WebSocket<'_>) -> O,
    O: Outcome,
{
    let id = session.id;
    let open = Opened::new(around);
    session.open(around.handler, around.clock.now());
    session.taker = Taker::Future { sends: false };
    let pulled = Pulled {
        session: RefCell::new(session),
        link: around.link,
        id,
        now: Cell::new(around.clock.now()),
        taken: Cell::new(0),
        changed: Cell::new(false),
        closing: Cell::new(false),
        end: Cell::new(None),
        receiver: Cell::new(None),
        sender: Cell::new(None),
    };
    let done = Cell::new(false);
    let mut future = pin!(async {
        let outcome = handle(WebSocket::new(&pulled, route)).await;
        pulled.leave(outcome.is_success());
        done.set(true);
    });
    let beside = Beside { pulled: &pulled, future: future.as_mut(), done: &done };
    let cause = drive(&pulled.session, socket, around, beside).await;
    let end = pulled.session.borrow().end(cause);
    around.link.with(|slot, _| slot.enter(Phase::Closing));
    pulled.end.set(Some(end));
    open.ended(&end);
    let now = around.clock.now();
    let until = around.link.ends(now, *around.closing_time).unwrap_or(now.plus(*around.closing_time));
    let mut leaving = pin!(async {
        pulled.wake_all();
        if !done.get() {
            before(around.clock, until, future.as_mut()).await;
        }
    });
    let mut lingering = pin!(async {
        // Nobody else uses the session any more.
        let mut seat = &pulled.session;
        seat.session().linger(socket, around).await;
        // The peer does not wait for the future.
        before(around.clock, until, pin!(socket.shutdown())).await;
    });
    let mut rests = [true; 2];
    poll_fn(|cx| {
        let [leaves, lingers] = &mut rests;
        *leaves = *leaves && leaving.as_mut().poll(cx).is_pending();
        *lingers = *lingers && lingering.as_mut().poll(cx).is_pending();
        if rests == [false; 2] { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    end
}

impl<'m, 'c: 'm> Seat<'m, 'c> for &RefCell<&mut Session<'m, 'c>> {
    fn session(&mut self) -> impl DerefMut<Target = Session<'m, 'c>> {
        RefMut::map(self.borrow_mut(), |session| &mut **session)
    }
}

impl<F: Future<Output = ()>> Company for Beside<'_, '_, '_, '_, F> {
    const PRESENT: bool = true;

    fn poll(&mut self, cx: &mut Context<'_>, now: Instant, moved: bool) -> bool {
        if self.done.get() {
            return false;
        }
        self.pulled.now.set(now);
        if moved {
            self.pulled.wake_all();
        }
        // Who still waits for room says so again.
        self.pulled.with(|session| {
            if session.taker != Taker::Nobody {
                session.taker = Taker::Future { sends: false };
            }
        });
        self.future.as_mut().poll(cx).is_ready() || self.pulled.changed.take()
    }
}

impl Pulled<'_, '_, '_> {
    /// The session, while the connection has not ended and the loop does not use it.
    fn with<R>(&self, act: impl FnOnce(&mut Session<'_, '_>) -> R) -> Option<R> {
        if self.end.get().is_some() {
            return None;
        }
        self.session.try_borrow_mut().ok().map(|mut session| act(&mut session))
    }

    /// The future is over, or takes nothing more.
    fn leave(&self, well: bool) {
        let code = if well { CloseCode::NORMAL } else { CloseCode::INTERNAL_ERROR };
        self.with(|session| session.taker = Taker::Nobody);
        self.close_with(code);
    }

    /// Has the loop close the connection.
    fn close_with(&self, code: CloseCode) {
        self.link.with(|slot, _| slot.close(code));
        self.change();
    }

    /// Wakes who waits with a waker of its own. The task itself polls the future again and again.
    fn wake_all(&self) {
        for waiting in [&self.receiver, &self.sender] {
            if let Some(waker) = waiting.take() {
                waker.wake();
            }
        }
    }

    fn change(&self) {
        self.changed.set(true);
    }
}

impl Channel for Pulled<'_, '_, '_> {
    fn id(&self) -> ConnectionId {
        self.id
    }

    fn poll_event(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        messages: bool,
    ) -> Poll<Result<Option<Shape>, Error>> {
        if let Some(end) = self.end.get() {
            return Poll::Ready(if end.is_orderly() { Ok(None) } else { Err(Error::Ended(end)) });
        }
        let taken = self.with(|session| {
            if session.inbound != Inbound::Event {
                return None;
            }
            let shape = session.copied(buffer, self.taken.get(), messages);
            match shape {
                Err(_) => {}
                Ok((_, Some(taken))) => self.taken.set(taken),
                Ok((_, None)) => {
                    session.inbound = Inbound::Arrived;
                    self.taken.set(0);
                    self.change();
                }
            }
            Some(shape.map(|(shape, _)| shape))
        });
        match taken.flatten() {
            Some(Ok(Some(shape))) => Poll::Ready(Ok(Some(shape))),
            Some(Err(error)) => Poll::Ready(Err(error)),
            // A control frame was passed over, or nothing is ready.
            Some(Ok(None)) | None => {
                self.receiver.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        (kind, payload): (MessageKind, &[u8]),
        (fin, fragment): (bool, bool),
    ) -> Poll<Result<(), Error>> {
        let now = self.now.get();
        let sent = self.with(|session| {
            if self.closing.get() || !session.can_answer() {
                return Some(Err(Error::Closed));
            }
            if session.author == Author::Handler && !fragment {
                return Some(Err(Error::Misuse(wirelet_proto::SendError::WrongKind)));
            }
            let waits = session.author == Author::Nobody && session.is_tasks_turn(self.link, now);
            let appended = match waits {
                true => Err(SendReason::Full),
                false => session.desk(now).append(kind, payload, fin, fragment),
            };
            let sent = match appended {
                Ok(()) => {
                    session.next = Next::Tasks { since: now };
                    self.change();
                    Ok(())
                }
                Err(SendReason::Full) => {
                    if session.taker != Taker::Nobody {
                        session.taker = Taker::Future { sends: true };
                    }
                    return None;
                }
                Err(SendReason::TooLong) => {
                    Err(Error::TooLong { len: payload.len(), most: session.largest() })
                }
                Err(SendReason::Gone) => Err(Error::Misuse(wirelet_proto::SendError::WrongKind)),
            };
            Some(sent)
        });
        self.waited(cx, sent)
    }

    fn poll_ping(&self, cx: &mut Context<'_>, payload: &[u8]) -> Poll<Result<(), Error>> {
        let now = self.now.get();
        let sent = self.with(|session| self.control(session.desk(now).ping(payload)));
        self.waited(cx, sent)
    }

    fn poll_close(&self, cx: &mut Context<'_>, code: CloseCode, reason: &str) -> Poll<Result<(), Error>> {
        let now = self.now.get();
        let closed = self.with(|session| {
            let closed = self.control(session.desk(now).close(code, reason));
            if matches!(closed, Some(Ok(()) | Err(Error::Closed))) {
                session.taker = Taker::Nobody;
                self.closing.set(true);
                self.change();
            }
            closed
        });
        self.waited(cx, closed)
    }

    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<End> {
        if let Some(end) = self.end.get() {
            return Poll::Ready(end);
        }
        self.receiver.set(Some(cx.waker().clone()));
        // What still arrives is thrown away.
        self.with(|session| session.taker = Taker::Nobody);
        Poll::Pending
    }

    fn abandon(&self) {
        self.closing.set(true);
        self.close_with(CloseCode::INTERNAL_ERROR);
    }

    fn largest(&self) -> usize {
        self.with(|session| session.largest()).unwrap_or(0)
    }

    fn is_open(&self) -> bool {
        self.with(|session| session.can_answer()) == Some(true)
    }

    fn subprotocol(&self) -> Option<u16> {
        self.with(|session| session.core.subprotocol()).flatten()
    }

    fn deflate(&self) -> Option<Params> {
        self.with(|session| session.core.extensions().deflate).flatten()
    }

    fn end(&self) -> Option<End> {
        self.end.get()
    }

    fn context(&self, take: &mut dyn FnMut(&mut dyn Room)) {
        self.with(|session| {
            if let Some(context) = &mut session.context {
                take(&mut **context);
            }
        });
    }
}

impl Pulled<'_, '_, '_> {
    /// What became of a control frame; `None`: it waits for room.
    fn control(&self, sent: Result<(), wirelet_proto::SendError>) -> Option<Result<(), Error>> {
        match sent {
            Ok(()) => {
                self.change();
                Some(Ok(()))
            }
            Err(wirelet_proto::SendError::Busy) => None,
            Err(wirelet_proto::SendError::NotOpen) => Some(Err(Error::Closed)),
            Err(misuse) => Some(Err(Error::Misuse(misuse))),
        }
    }

    /// The answer of a session that is there, or a wait for room.
    fn waited(&self, cx: &Context<'_>, sent: Option<Option<Result<(), Error>>>) -> Poll<Result<(), Error>> {
        match sent {
            None => Poll::Ready(Err(Error::Closed)),
            Some(Some(sent)) => Poll::Ready(sent),
            Some(None) => {
                self.sender.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl Session<'_, '_> {
    /// The largest payload of a frame that may be sent.
    fn largest(&self) -> usize {
        let room = self.tx.size().saturating_sub(MAX_HEADER);
        if self.lane.is_some() { largest_for(room) } else { room }
    }

    /// Copies the event that is ready to the front of `buffer`; a chunk from its byte `taken` on, as far as there is room. Answers
    /// what stands there, and up to which byte the chunk was taken if that was not its last. No shape: it is no message, and only
    /// `messages` are wanted.
    fn copied(
        &mut self,
        buffer: &mut [u8],
        taken: usize,
        messages: bool,
    ) -> Result<(Option<Shape>, Option<usize>), Error> {
        let inflow = self.lane.as_mut().map(|lane| lane.flows().0);
        let event = match &inflow {
            None => self.core.event(&self.rx),
            Some(inflow) => inflow.event(self.core, &self.rx),
        };
        let (data, shape): (&[u8], _) = match event {
            Event::Text(text) => (text.as_bytes(), Shape::Text(text.len())),
            Event::Binary(bytes) => (bytes, Shape::Binary(bytes.len())),
            Event::Chunk(_) if messages => return Err(Error::Chunks),
            Event::Ping(_) | Event::Pong(_) | Event::Close(_) if messages => return Ok((None, None)),
            Event::Ping(payload) => (payload, Shape::Ping(payload.len())),
            Event::Pong(payload) => (payload, Shape::Pong(payload.len())),
            Event::Close(frame) => {
                let reason = frame.map_or("", |frame| frame.reason);
                (reason.as_bytes(), Shape::Close(frame.map(|frame| frame.code), reason.len()))
            }
            Event::Chunk(chunk) => {
                let rest = chunk.data.get(taken..).unwrap_or_default();
                let part = rest.get(..buffer.len()).unwrap_or(rest);
                let left = rest.len().saturating_sub(part.len());
                if let Some(into) = buffer.get_mut(..part.len()) {
                    into.copy_from_slice(part);
                }
                let shape = Shape::chunk(&chunk, taken, part.len(), left);
                return Ok((Some(shape), (left > 0).then(|| taken.saturating_add(part.len()))));
            }
        };
        let most = buffer.len();
        let into = buffer.get_mut(..data.len()).ok_or(Error::TooLong { len: data.len(), most })?;
        into.copy_from_slice(data);
        Ok((Some(shape), None))
    }
}
