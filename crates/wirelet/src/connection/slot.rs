//! The protocol's state as connections on tokio have it: with memory for a control frame only while one waits.

use std::sync::Arc;

use wirelet_proto::{CONTROL_SLOT, Config, Connection, ControlSlot};

/// The protocol's state.
pub(crate) type Core = Connection<Arc<Config>, OnDemand>;

/// A control slot that has memory while a frame waits in it.
#[derive(Debug)]
pub(crate) struct OnDemand(Option<Box<[u8; CONTROL_SLOT]>>);

impl ControlSlot for OnDemand {
    const EMPTY: Self = Self(None);

    #[inline]
    fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |bytes| &bytes[..])
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0.get_or_insert_with(|| Box::new([0; CONTROL_SLOT]))[..]
    }

    fn release(&mut self) {
        self.0 = None;
    }
}
