//! Random operations on a driver: a scripted transport, a scripted peer, an executor on virtual time, and the accounts of all
//! numbered messages.
//!
//! A driver's test runs its real code over a [`Link`] whose other end a [`Peer`] holds, both as tasks of an
//! [`Executor`], and tells a [`Ledger`] what its operations answered. Everything is decided by a seed, so that a failure can be
//! seen again. Nothing here knows a driver or its runtime: time is a number of milliseconds.
//!
//! | module | what it is |
//! |---|---|
//! | [`pulse`] | the case's clock, its steps, and whether anything has moved |
//! | [`link`] | a byte stream both ways that is narrow, hesitant and can break |
//! | [`numbered`] | messages that know their number, at every size |
//! | [`peer`] | what the other end does |
//! | [`ledger`] | what was sent and what has arrived |
//! | [`executor`] | polls tasks in an order that the seed decides, and finds those that wake themselves for nothing |
//! | [`shrink`] | makes a failing case smaller |
//! | [`cases`] | runs the cases of a test, or one of them |

pub mod cases;
pub mod executor;
pub mod ledger;
pub mod link;
pub mod numbered;
pub mod peer;
pub mod pulse;
pub mod shrink;

pub use executor::Executor;
pub use ledger::Ledger;
pub use link::Link;
pub use peer::Peer;
pub use pulse::Pulse;
