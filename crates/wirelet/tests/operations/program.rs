//! What the tasks of a case do: each operation on the connection, and what its answer means.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use testkit::operations::ledger::{End, Fact, Kind};
use testkit::operations::{Ledger, Pulse};
use wirelet::{
    Chunk, CloseCode, Error, Event, Message, ReceiveHalf, SendHalf, Sender, SlowReceiver, TrySendError,
    WebSocket,
};

use super::case::Op;

/// A task of the case and what it has of the connection.
pub(crate) struct Program {
    pub(crate) pulse: Pulse,
    pub(crate) ledger: Ledger,
    /// Its number in the ledger.
    pub(crate) source: usize,
    pub(crate) chunks: bool,
    pub(crate) fills: bool,
    pub(crate) driven: bool,
    pub(crate) sending: Sending,
    pub(crate) sender: Option<Sender>,
    /// Sees the end when it is told.
    pub(crate) probe: Option<Arc<Sender>>,
}

/// What a task has of the connection.
pub(crate) enum Sending {
    Whole(WebSocket),
    Send(SendHalf),
    Receive(ReceiveHalf),
    Nothing,
}

/// Does `$do` with whatever sends.
macro_rules! sending {
    ($program:expr, $half:ident => $do:expr) => {
        match &mut $program.sending {
            Sending::Whole($half) => $do,
            Sending::Send($half) => $do,
            Sending::Receive(_) | Sending::Nothing => return,
        }
    };
}

/// Does `$do` with whatever receives.
macro_rules! receiving {
    ($program:expr, $half:ident => $do:expr) => {
        match &mut $program.sending {
            Sending::Whole($half) => $do,
            Sending::Receive($half) => $do,
            Sending::Send(_) | Sending::Nothing => return true,
        }
    };
}

impl Program {
    pub(crate) async fn run(&mut self, ops: &[Op]) {
        for op in ops {
            match op {
                Op::Polls(polls, op) => {
                    let pulse = self.pulse.clone();
                    at_most(&pulse, *polls, self.perform(op)).await;
                }
                Op::Within(millis, op) => {
                    let _ = tokio::time::timeout(Duration::from_millis(*millis), self.perform(op)).await;
                }
                op => self.perform(op).await,
            }
        }
    }

    async fn perform(&mut self, op: &Op) {
        match op {
            Op::Send { size, text, borrowed } => self.send(*size, *text, *borrowed).await,
            Op::Feed { size, text } => self.feed(*size, *text).await,
            Op::Flush => self.flush().await,
            Op::Ping(len) => {
                let _operating = self.ledger.operates(Kind::Operate);
                let answer = sending!(self, half => half.ping(&vec![7; *len]).await);
                self.answer("ping", answer);
            }
            Op::Queue { size, policy, waits } => self.queue(*size, *policy, *waits).await,
            Op::Fragments { size, text, pieces, finish } => {
                self.fragments(*size, *text, *pieces, *finish).await
            }
            Op::Receive { events } => {
                self.receive(*events).await;
            }
            Op::Drain => {
                while !self.receive(false).await {}
                self.receive(false).await;
            }
            Op::Close { code, reason } => self.close(*code, *reason).await,
            Op::Sleep(millis) => {
                let _sleeping = self.ledger.operates(Kind::Sleep);
                tokio::time::sleep(Duration::from_millis(*millis)).await;
            }
            Op::Polls(..) | Op::Within(..) => {}
        }
    }

    /// What an operation answers that says `Closed` when the connection is.
    fn answer(&self, by: &str, answer: Result<(), Error>) -> bool {
        match answer {
            Ok(()) => return true,
            Err(Error::Closed) => self.ledger.closed_told(by),
            Err(error) => self.ledger.fail(format!("{by} answers {error:?}")),
        }
        false
    }

    async fn send(&mut self, size: usize, text: bool, borrowed: bool) {
        let (number, payload) = self.ledger.offer(self.source, size, text, false);
        let operating = self.ledger.operates(Kind::Operate);
        let answer = match (borrowed, text) {
            (true, true) => sending!(self, half => half.send_text(&payload).await),
            (true, false) => sending!(self, half => half.send_binary(payload.as_bytes()).await),
            (false, text) => sending!(self, half => half.send(message(payload, text)).await),
        };
        if self.answer("send", answer) {
            self.ledger.accepted(number);
            if !self.driven {
                self.ledger.written(self.source);
            }
        }
        drop(operating);
    }

    async fn feed(&mut self, size: usize, text: bool) {
        let (number, payload) = self.ledger.offer(self.source, size, text, false);
        let _operating = self.ledger.operates(Kind::Operate);
        let answer = sending!(self, half => half.feed(message(payload, text)).await);
        if self.answer("feed", answer) {
            self.ledger.fed(number);
        }
    }

    async fn flush(&mut self) {
        let _operating = self.ledger.operates(Kind::Operate);
        let answer = sending!(self, half => half.flush().await);
        if self.answer("flush", answer) {
            self.ledger.written(self.source);
        }
    }

    async fn queue(&mut self, size: usize, policy: SlowReceiver, waits: bool) {
        let sender = match (&self.sender, &self.sending) {
            (Some(sender), _) => sender.clone(),
            (None, Sending::Whole(ws)) => ws.sender(),
            (None, Sending::Send(half)) => half.sender(),
            (None, Sending::Receive(_) | Sending::Nothing) => return,
        };
        let sender = self.sender.insert(sender).clone().with_policy(policy);
        let (number, payload) = self.ledger.offer(self.source, size, false, true);
        if policy == SlowReceiver::DropNewest && self.fills {
            self.ledger.may_be_dropped(number);
        }
        let message = message(payload, false);
        // Who has a connection without a task and waits for another one's room waits for itself.
        let waits = waits && (self.driven || matches!(self.sending, Sending::Nothing));
        let answer = match waits {
            true => sender.send(message).await.map_err(|error| TrySendError::Closed(error.0)),
            false => sender.try_send(message),
        };
        match answer {
            Ok(()) => self.ledger.accepted(number),
            Err(TrySendError::Full(_)) => {
                self.ledger.refused(number);
                if !self.fills || policy != SlowReceiver::Wait {
                    self.ledger.fail("a queue is full that can't be, or whose policy is another");
                }
            }
            Err(TrySendError::Closed(_)) => {
                self.ledger.refused(number);
                if policy == SlowReceiver::Close && self.fills {
                    self.ledger.note(Fact::Fails);
                }
                self.ledger.closed_told("a sender");
            }
        }
    }

    async fn fragments(&mut self, size: usize, text: bool, pieces: usize, finish: bool) {
        let (number, payload) = self.ledger.offer(self.source, size, text, false);
        let operating = self.ledger.operates(Kind::Operate);
        let fragmenting = self.ledger.operates(Kind::Fragments);
        let piece = size.div_ceil(pieces).max(1);
        let (body, last) = payload.split_at((piece * (pieces - 1)).min(payload.len()));
        let unfinished = Unfinished(self.ledger.clone(), pieces > 1);
        let body: Vec<&str> = (0..pieces - 1).map(|at| slice(body, at * piece, piece)).collect();
        let answer = match text {
            true => sending!(self, half => {
                let mut fragments = half.text_fragments();
                async {
                    for piece in body {
                        fragments.write(piece).await?;
                    }
                    if finish { fragments.finish(last).await.map(|()| true) } else { Ok(false) }
                }
                .await
            }),
            false => sending!(self, half => {
                let mut fragments = half.binary_fragments();
                async {
                    for piece in body {
                        fragments.write(piece.as_bytes()).await?;
                    }
                    if finish { fragments.finish(last.as_bytes()).await.map(|()| true) } else { Ok(false) }
                }
                .await
            }),
        };
        match answer {
            Ok(true) => {
                unfinished.forget();
                self.ledger.accepted(number);
                if !self.driven {
                    self.ledger.written(self.source);
                }
            }
            Ok(false) => {
                if pieces == 1 {
                    self.ledger.refused(number);
                }
                drop(unfinished);
            }
            Err(error) => {
                self.answer("a fragment", Err(error));
                drop(unfinished);
            }
        }
        drop((operating, fragmenting));
    }

    /// Receives once; whether the end was told.
    async fn receive(&mut self, events: bool) -> bool {
        let _operating = (self.ledger.operates(Kind::Receive), self.ledger.operates(Kind::Operate));
        let answer = match (events, self.chunks) {
            (true, _) => receiving!(self, half => half.recv_event().await),
            (false, true) => {
                receiving!(self, half => half.recv_chunk().await).map(|chunk| chunk.map(Event::Chunk))
            }
            (false, false) => {
                receiving!(self, half => half.recv().await).map(|message| message.map(Event::Message))
            }
        };
        match answer {
            Ok(Some(Event::Message(message))) => {
                self.ledger.received(message.as_text().is_some(), message.as_bytes());
            }
            Ok(Some(Event::Chunk(Chunk { kind, data, offset, first, last, .. }))) => {
                let text = kind == wirelet::MessageKind::Text;
                self.ledger.received_chunk(text, &data, offset, first, last);
            }
            Ok(Some(Event::Ping(_) | Event::Pong(_))) => {}
            Ok(None) => return self.told(End::Clean),
            Err(error) => return self.told(end(&error)),
        }
        false
    }

    fn told(&self, end: End) -> bool {
        self.ledger.told(end);
        if let Some(probe) = &self.probe
            && !probe.is_closed()
        {
            self.ledger.fail("the end was told, and senders do not know it");
        }
        true
    }

    async fn close(&mut self, code: u16, reason: usize) {
        let reason = "r".repeat(reason);
        let refused = reason.len() > 123;
        let first = !refused && self.ledger.closes(code);
        let close_code = CloseCode::new(code);
        let operating = self.ledger.operates(Kind::Operate);
        let (answer, whole) = match &mut self.sending {
            Sending::Whole(ws) => {
                if !refused {
                    self.ledger.note(Fact::Discards);
                }
                (ws.close(close_code, &reason).await, true)
            }
            Sending::Send(half) => (half.close(close_code, &reason).await, false),
            Sending::Receive(_) => return,
            Sending::Nothing => match &self.sender {
                Some(sender) => (sender.close(close_code, &reason), false),
                None => return,
            },
        };
        match answer {
            Err(Error::Misuse(_)) if refused => {}
            Err(Error::Closed) if !whole => {
                if first {
                    self.ledger.does_not_close();
                }
                self.ledger.closed_told("close");
            }
            Ok(()) if whole => {
                self.told(End::Clean);
            }
            Err(error) if whole => {
                self.told(end(&error));
            }
            Ok(()) if !refused => {}
            answer => self.ledger.fail(format!("close answers {answer:?}")),
        }
        drop(operating);
    }
}

/// A fragmented message that has begun: when it ends early the connection fails.
struct Unfinished(Ledger, bool);

impl Unfinished {
    fn forget(mut self) {
        self.1 = false;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.1 {
            self.0.note(Fact::Fails);
        }
    }
}

fn slice(text: &str, at: usize, len: usize) -> &str {
    let at = at.min(text.len());
    &text[at..(at + len).min(text.len())]
}

fn message(payload: String, text: bool) -> Message {
    if text { payload.into() } else { payload.into_bytes().into() }
}

fn end(error: &Error) -> End {
    match error {
        Error::Protocol(_) | Error::Limit(_) => End::Peer,
        Error::Timeout(which) => End::Timeout(format!("{which:?}")),
        Error::Io(_) => End::Io,
        Error::Abnormal => End::Abnormal,
        error => End::Other(format!("{error:?}")),
    }
}

/// Polls `future` at most `polls` times, and then drops it.
async fn at_most<F: Future>(pulse: &Pulse, mut polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        pulse.moves();
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}
