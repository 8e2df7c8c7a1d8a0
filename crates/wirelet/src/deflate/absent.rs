//! In the place of permessage-deflate where the feature is off: nothing of it exists, and nothing of it costs.

use std::task::{Context, Poll};

use bytes::Bytes;
use wirelet_proto::deflate::{HeaderValue, Params};
use wirelet_proto::handshake::{ExtensionOffers, HandshakeError};
use wirelet_proto::{Delivery, Event, Failure, Instant, RecvBuffer, Role, Status};

use crate::connection::Core;
use crate::connection::inbound::Inbound;

/// What an application can ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compression;

impl Compression {
    pub(crate) const fn off() -> Self {
        Self
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Compress {
    #[default]
    Auto,
}

/// A message that goes to many connections.
#[derive(Debug)]
pub(crate) struct Prepared(Bytes);

#[derive(Debug)]
pub(crate) enum Plan {}

#[derive(Debug)]
pub(crate) enum Negotiated {}

pub(crate) enum Deflate {}

impl Prepared {
    pub(crate) const fn new(payload: Bytes) -> Self {
        Self(payload)
    }

    pub(crate) const fn payload(&self) -> &Bytes {
        &self.0
    }
}

impl Plan {
    pub(crate) const fn new(_: &Compression) -> Option<Self> {
        None
    }

    pub(crate) const fn accept(self, _: ExtensionOffers<'_>) -> Option<(Negotiated, HeaderValue)> {
        match self {}
    }

    pub(crate) const fn offer(&self) -> HeaderValue {
        match *self {}
    }

    pub(crate) const fn check(self, _: ExtensionOffers<'_>) -> Result<Option<Negotiated>, HandshakeError> {
        match self {}
    }
}

impl Negotiated {
    pub(crate) const fn params(&self) -> Params {
        match *self {}
    }
}

impl Deflate {
    pub(crate) const fn new(negotiated: Negotiated, _: Role, _: Delivery) -> Box<Self> {
        match negotiated {}
    }

    pub(crate) const fn poll_advance(
        &mut self,
        _: &mut Core,
        _: &mut RecvBuffer<Inbound>,
        _: &mut u32,
        _: Instant,
        _: Option<&mut Context<'_>>,
    ) -> Poll<Result<Status, Failure>> {
        match *self {}
    }

    pub(crate) const fn event<'a>(&'a self, _: &Core, _: &'a RecvBuffer<Inbound>) -> Event<'a> {
        match *self {}
    }

    pub(crate) const fn take_message(&mut self, _: &mut Core, _: &mut RecvBuffer<Inbound>) -> Option<Bytes> {
        match *self {}
    }

    pub(crate) const fn received_plain(&self, _: usize) {
        match *self {}
    }

    pub(crate) const fn hold(&mut self, _: bool) {
        match *self {}
    }

    pub(crate) const fn step_aside(&mut self) {
        match *self {}
    }

    pub(crate) const fn rest(&mut self) {
        match *self {}
    }

    pub(crate) const fn release(&mut self) {
        match *self {}
    }

    pub(crate) const fn prepared(&mut self, _: &Prepared, _: Compress) -> Option<Option<Bytes>> {
        match *self {}
    }

    pub(crate) fn compress<T>(
        &mut self,
        _: &[u8],
        _: bool,
        _: Compress,
        _: impl FnOnce(Option<&[u8]>) -> T,
    ) -> T {
        match *self {}
    }
}
