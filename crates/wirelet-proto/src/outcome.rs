//! What a handler of the application returns, for drivers whose handlers are async functions.

/// What a handler returns: `()`, or a `Result` whose error closes the connection with 1011.
pub trait Outcome {
    /// Whether the connection is closed with 1000 rather than 1011.
    fn is_success(&self) -> bool;
}

impl Outcome for () {
    fn is_success(&self) -> bool {
        true
    }
}

impl<T, E> Outcome for Result<T, E> {
    fn is_success(&self) -> bool {
        self.is_ok()
    }
}
