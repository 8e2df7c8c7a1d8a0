//! `/ws`: what arrives goes back chunk by chunk, and "Trigger async" is answered by another task.

use core::cell::RefCell;
use core::future::poll_fn;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use core::task::{Poll, Waker};

use critical_section::Mutex;
use wirelet_embedded::proto::{CloseCode, Event};
use wirelet_embedded::{ConnectionId, End, Handle, Handler, Peer};

use crate::Board;

/// What somebody sends to be answered by another task.
const TRIGGER: &[u8] = b"Trigger async";
/// The answer.
const ANSWER: &str = "Async data";
/// Connections that may wait for their answer.
const WAITING: usize = 8;

/// Echoes, and counts.
pub(crate) struct Echo<'b> {
    board: &'b dyn Board,
    triggers: Mutex<RefCell<Triggers>>,
    pub(crate) messages: AtomicU32,
    pub(crate) opened: AtomicU32,
}

struct Triggers {
    ids: [Option<ConnectionId>; WAITING],
    waker: Option<Waker>,
}

impl<'b> Echo<'b> {
    pub(crate) const fn new(board: &'b dyn Board) -> Self {
        Self {
            board,
            triggers: Mutex::new(RefCell::new(Triggers { ids: [None; WAITING], waker: None })),
            messages: AtomicU32::new(0),
            opened: AtomicU32::new(0),
        }
    }

    /// The other task.
    pub(crate) async fn answer(&self, handle: Handle<'_>) {
        loop {
            let id = self.triggered().await;
            if let Err(error) = handle.try_send(id, ANSWER) {
                self.board.log(format_args!("async: {error}"));
            }
        }
    }

    async fn triggered(&self) -> ConnectionId {
        poll_fn(|cx| {
            critical_section::with(|section| {
                let mut triggers = self.triggers.borrow_ref_mut(section);
                match triggers.ids.iter_mut().find_map(Option::take) {
                    Some(id) => Poll::Ready(id),
                    None => {
                        triggers.waker = Some(cx.waker().clone());
                        Poll::Pending
                    }
                }
            })
        })
        .await
    }

    /// False when too many wait already.
    fn trigger(&self, id: ConnectionId) -> bool {
        critical_section::with(|section| {
            let mut triggers = self.triggers.borrow_ref_mut(section);
            let Some(place) = triggers.ids.iter_mut().find(|place| place.is_none()) else { return false };
            *place = Some(id);
            if let Some(waker) = triggers.waker.take() {
                waker.wake();
            }
            true
        })
    }

    fn count(&self, counter: &AtomicU32) {
        // A load and a store: not every chip can add atomically, and one executor runs all workers.
        counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
    }
}

impl Handler for Echo<'_> {
    fn on_open(&self, peer: &mut Peer<'_>) {
        self.count(&self.opened);
        self.board.log(format_args!("{}: open", peer.id().index()));
    }

    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
        let Event::Chunk(chunk) = event else { return };
        if chunk.last {
            self.count(&self.messages);
        }
        if chunk.first && chunk.last && chunk.data == TRIGGER {
            if !self.trigger(peer.id()) {
                let _ = peer.send("too many wait already");
            }
            return;
        }
        // There is always room for as much as has arrived; what else goes wrong ends the connection.
        if peer.send_fragment(chunk.kind, chunk.data, chunk.last).is_err() && peer.is_open() {
            let _ = peer.close(CloseCode::INTERNAL_ERROR, "");
        }
    }

    fn on_close(&self, id: ConnectionId, end: &End) {
        let code = u16::from(end.close.code());
        self.board.log(format_args!("{}: closed, {code}, {:?}", id.index(), end.cause));
    }
}
