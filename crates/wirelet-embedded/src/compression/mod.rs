//! permessage-deflate (RFC 7692): compressed messages, in memory that a few connections share.
//!
//! Compression takes some 20 KiB for each connection that uses it, which not every connection of a device can have. So
//! its memory is apart from the connections': a `Pool` of lanes, lent to the connections that agree on compression
//! while there is one left. The others talk uncompressed; nothing fails for want of it.
//!
//! A server gets the pool by [`Server::with_compression`](crate::Server::with_compression), a client by
//! [`Client::with_compression`](crate::Client::with_compression). Without the feature nothing of this is in the firmware: what
//! would lead to it has types without values.
//!
//! ```
//! # #[cfg(feature = "deflate")] {
//! use wirelet_embedded::compression::{Pool, encoder};
//!
//! /// Two lanes with windows of 1 KiB both ways, and pieces of 2 KiB to deliver.
//! type Lanes = Pool<1024, 2048, { encoder(10) }, 2>;
//!
//! let lanes = Lanes::new(); // on a device: `init_with` of a `StaticCell`
//! assert_eq!(lanes.free(), 2);
//! let compression = lanes.compression(); // for servers and clients
//! # let _ = compression;
//! # }
//! ```

#[cfg(feature = "deflate")]
mod lane;

#[cfg(feature = "deflate")]
pub use lane::{Pool, encoder};

#[cfg(not(feature = "deflate"))]
use core::{convert::Infallible as Never, marker::PhantomData};

use wirelet_proto::deflate::{Params, Settings};
use wirelet_proto::{
    Config, Connection, Event, Failure, Fixed, Flush, Instant, MaskKeys, RecvBuffer, Role, Status,
};

/// The memory that a session receives into.
pub(crate) type Received<'m> = RecvBuffer<Fixed<&'m mut [u8]>>;

/// How compressed messages come in.
pub(crate) trait Inflow {
    /// [`Connection::advance_with`].
    fn advance(
        &mut self,
        core: &mut Connection<&Config>,
        rx: &mut Received<'_>,
        keys: &mut dyn MaskKeys,
        now: Instant,
    ) -> Result<Status, Failure>;

    /// [`Connection::event_with`].
    fn event<'e>(&'e self, core: &Connection<&Config>, rx: &'e Received<'_>) -> Event<'e>;
}

/// How messages go out compressed.
pub(crate) trait Outflow {
    /// Whether a frame with `len` bytes of payload is to be compressed: the first of a message decides for the others.
    fn wants(&self, len: usize, fin: bool) -> bool;

    /// A frame was queued.
    fn queued(&mut self, compressed: bool, fin: bool);

    /// Whether a compressed message has begun and not ended.
    fn in_message(&self) -> bool;

    /// Compresses the next piece of a frame's payload, which `flush` says the end of, to the front of `out`; how long it has
    /// become. `None` when there was no room after all, which [`largest`] rules out.
    fn compress(&mut self, piece: &[u8], out: &mut [u8], flush: Flush) -> Option<usize>;

    /// The rest of a payload of which pieces were compressed will never come: the encoder knows what the peer does not.
    fn abandon(&mut self);
}

/// Both ways, for one connection at a time.
pub(crate) trait Lane: Send {
    /// What it can do.
    #[cfg(feature = "deflate")]
    fn settings(&self) -> Settings;

    /// A connection begins. Chunks have at most `chunk` bytes.
    #[cfg(feature = "deflate")]
    fn open(&mut self, role: Role, params: Params, chunk: usize);

    /// Both ways, apart: a handler sends while it looks at what was received.
    fn flows(&mut self) -> (Way<'_, dyn Inflow + '_>, Way<'_, dyn Outflow + '_>);
}

/// A reference to something that only exists with the feature. Without it there is no value of this type, so that the compiler
/// leaves out whatever would need one: a session's `Option` of it takes no memory and is never looked at.
#[cfg(feature = "deflate")]
pub(crate) type Way<'w, T> = &'w mut T;

/// As above.
#[cfg(not(feature = "deflate"))]
pub(crate) struct Way<'w, T: ?Sized>(Never, PhantomData<&'w mut T>);

#[cfg(not(feature = "deflate"))]
impl<T: ?Sized> core::ops::Deref for Way<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self.0 {}
    }
}

#[cfg(not(feature = "deflate"))]
impl<T: ?Sized> core::ops::DerefMut for Way<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match self.0 {}
    }
}

/// Lends lanes.
#[cfg(feature = "deflate")]
pub(crate) trait Lend: Sync {
    /// A lane that nobody uses.
    fn reserve(&self) -> Option<Reservation<'_>>;
}

/// Memory for compressed connections as a server or a client takes it.
#[derive(Clone, Copy)]
pub struct Compression<'m>(Lender<'m>);

#[cfg(feature = "deflate")]
type Lender<'m> = &'m dyn Lend;
/// There is no pool.
#[cfg(not(feature = "deflate"))]
type Lender<'m> = (Never, PhantomData<&'m ()>);

impl<'m> Compression<'m> {
    #[cfg(feature = "deflate")]
    pub(crate) fn reserve(self) -> Option<Reservation<'m>> {
        self.0.reserve()
    }

    #[cfg(not(feature = "deflate"))]
    pub(crate) const fn reserve(self) -> Option<Reservation<'m>> {
        match self.0.0 {}
    }
}

impl core::fmt::Debug for Compression<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Compression").finish_non_exhaustive()
    }
}

/// A lane that a connection has, or will have, until this is dropped.
pub(crate) struct Reservation<'m>(Lent<'m>);

#[cfg(feature = "deflate")]
type Lent<'m> = lane::Lent<'m>;
#[cfg(not(feature = "deflate"))]
type Lent<'m> = Lender<'m>;

#[cfg(feature = "deflate")]
impl Reservation<'_> {
    /// What the lane can do.
    pub(crate) fn settings(&self) -> Settings {
        self.0.settings()
    }

    /// The lane, for a connection that begins and has agreed on compression.
    pub(crate) fn open(&mut self, role: Role, params: Option<Params>, chunk: usize) -> Option<&mut dyn Lane> {
        self.0.open(role, params?, chunk);
        Some(&mut *self.0)
    }
}

#[cfg(not(feature = "deflate"))]
impl Reservation<'_> {
    pub(crate) const fn settings(&self) -> Settings {
        match self.0.0 {}
    }

    pub(crate) const fn open(
        &mut self,
        _: Role,
        _: Option<Params>,
        _: usize,
    ) -> Option<Way<'_, dyn Lane + '_>> {
        match self.0.0 {}
    }
}

impl core::fmt::Debug for Reservation<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Reservation").finish_non_exhaustive()
    }
}

/// The most that `len` bytes can become, whatever they are: bytes that can't be compressed are stored in blocks.
pub(crate) const fn largest(len: usize) -> usize {
    len.saturating_add(len / 16).saturating_add(32)
}

/// The most that may be compressed so that it fits `room`.
pub(crate) const fn largest_for(room: usize) -> usize {
    room.saturating_sub(32) / 17 * 16
}
