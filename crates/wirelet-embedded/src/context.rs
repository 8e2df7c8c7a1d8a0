//! A value that the upgrade hook hands to the handler of a WebSocket, in memory of the caller's.

use core::any::Any;

/// Room for a value of a type that only the application knows: an `Option`.
pub(crate) trait Room: Send {
    /// The `Option`.
    fn place(&mut self) -> &mut dyn Any;

    fn clear(&mut self);
}

impl<T: Send + 'static> Room for Option<T> {
    fn place(&mut self) -> &mut dyn Any {
        self
    }

    fn clear(&mut self) {
        *self = None;
    }
}

/// The room for a `T`, if that is what there is room for.
pub(crate) fn room_for<'c, T: 'static>(context: &'c mut (dyn Room + '_)) -> Option<&'c mut Option<T>> {
    context.place().downcast_mut()
}
