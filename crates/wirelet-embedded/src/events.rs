//! What is logged, by the feature `log` or `defmt`; without them nothing of it is compiled.

#[cfg(any(feature = "log", feature = "defmt"))]
use crate::handler::Cause;
use crate::handler::End;
use crate::table::ConnectionId;

macro_rules! event {
    ($level:ident, $($argument:tt)+) => {{
        #[cfg(feature = "log")]
        log::$level!($($argument)+);
        #[cfg(feature = "defmt")]
        defmt::$level!($($argument)+);
    }};
}

/// A request was refused.
#[cfg_attr(
    not(any(feature = "log", feature = "defmt")),
    expect(unused_variables, reason = "nothing is logged")
)]
#[inline]
pub(crate) fn refused(status: u16, why: &str, method: &str, path: &str) {
    event!(warn, "refused with {}: {} ({} {})", status, why, method, path);
}

/// A WebSocket was opened.
#[cfg_attr(
    not(any(feature = "log", feature = "defmt")),
    expect(unused_variables, reason = "nothing is logged")
)]
#[inline]
pub(crate) fn opened(id: ConnectionId, route: &str) {
    event!(info, "WebSocket {} open: {}", id.index(), route);
}

/// A WebSocket has ended.
#[cfg_attr(
    not(any(feature = "log", feature = "defmt")),
    expect(unused_variables, reason = "nothing is logged")
)]
#[inline]
pub(crate) fn ended(id: ConnectionId, end: &End) {
    event!(
        info,
        "WebSocket {} ended: {}, code {}",
        id.index(),
        cause(&end.cause),
        u16::from(end.close.code())
    );
}

/// An attempt of a client has failed.
#[cfg_attr(
    not(any(feature = "log", feature = "defmt")),
    expect(unused_variables, reason = "nothing is logged")
)]
#[inline]
pub(crate) fn failed(failure: &crate::client::Failure) {
    event!(warn, "not connected: {}", why(failure));
}

/// The listener can't listen.
#[inline]
pub(crate) fn deaf() {
    event!(error, "the network stack can't listen; trying again");
}

#[cfg(any(feature = "log", feature = "defmt"))]
const fn cause(cause: &Cause) -> &'static str {
    match cause {
        Cause::Closed => "closed",
        Cause::Failed(_) => "the peer broke a rule or a limit",
        Cause::Expired(_) => "a limit of time",
        Cause::Unsendable => "something accepted could not be sent",
        Cause::EndOfStream => "the stream ended without a close frame",
        Cause::Io(_) => "the network failed",
        Cause::Dropped => "dropped",
    }
}

#[cfg(any(feature = "log", feature = "defmt"))]
const fn why(failure: &crate::client::Failure) -> &'static str {
    use crate::client::Failure;
    match failure {
        Failure::Timeout => "it took too long",
        Failure::Network(_) => "the network failed",
        Failure::EndOfStream => "the server ended the stream",
        Failure::Handshake(error) => error.text(),
        Failure::Refused(_) => "the server refused",
        Failure::Redirect(_) => "a redirect was not followed",
        Failure::Request(error) => error.text(),
    }
}
