//! A task's wait for something that a slot says.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use crate::table::{Slot, Table};

/// Waits until `look` at a slot and its ring has an answer: a place in the chain of a [`Watch`](crate::table::Watch).
///
/// Cancel safe. Tasks are woken one by the other, so that whoever does not poll this any more drops it.
pub(crate) struct Wait<'t, L> {
    table: &'t dyn Table,
    index: usize,
    place: Option<Place>,
    look: L,
}

/// Where somebody stands in the chain.
struct Place {
    epoch: u32,
    /// Its own waker, as it was registered.
    own: Waker,
    /// Who came before, to be woken in its turn.
    next: Option<Waker>,
}

/// What a look at the slot has come to.
enum Seen<R> {
    Answer(R),
    Waits,
    /// The chain was rung since this place was taken.
    Rung,
}

impl<'t, R, L: FnMut(&mut Slot, &mut [u8]) -> Option<R>> Wait<'t, L> {
    pub(crate) const fn new(table: &'t dyn Table, index: usize, look: L) -> Self {
        Self { table, index, place: None, look }
    }

    fn seen(&mut self, cx: &Context<'_>) -> Seen<R> {
        // Cloned before the critical section: wakers are the executor's code.
        let waker = cx.waker();
        let mut own = self.place.is_none().then(|| (waker.clone(), waker.clone()));
        let (place, look) = (&mut self.place, &mut self.look);
        let seen = self.table.with(self.index, |slot, ring| {
            if let Some(answer) = look(slot, ring) {
                return Seen::Answer(answer);
            }
            let epoch = slot.watch.epoch();
            if let Some((own, registered)) = own.take() {
                *place = Some(Place { epoch, own, next: slot.watch.register(registered) });
            }
            match place {
                Some(place) if place.epoch == epoch => Seen::Waits,
                _ => Seen::Rung,
            }
        });
        seen.unwrap_or(Seen::Waits)
    }
}

impl<L> Wait<'_, L> {
    /// Gives the place up. Who is behind it in the chain is woken, and when the chain was not rung, all are, to close the gap.
    fn leave(&mut self) {
        let Some(place) = self.place.take() else { return };
        self.table.with(self.index, |slot, _| {
            if slot.watch.epoch() == place.epoch {
                slot.watch.ring();
            }
        });
        if let Some(next) = place.next {
            next.wake();
        }
    }
}

impl<R, L: FnMut(&mut Slot, &mut [u8]) -> Option<R> + Unpin> Future for Wait<'_, L> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        if self.place.as_ref().is_some_and(|place| !place.own.will_wake(cx.waker())) {
            self.leave();
        }
        loop {
            match self.seen(cx) {
                // What is left of the chain is passed on when this is dropped.
                Seen::Answer(answer) => return Poll::Ready(answer),
                Seen::Waits => return Poll::Pending,
                Seen::Rung => self.leave(),
            }
        }
    }
}

impl<L> Drop for Wait<'_, L> {
    fn drop(&mut self) {
        self.leave();
    }
}
