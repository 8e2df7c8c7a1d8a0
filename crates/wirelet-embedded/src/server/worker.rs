//! The worker: accepts, speaks HTTP, and drives the WebSocket that comes out of it.

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use embedded_io_async::{Read as _, Write as _};
use wirelet_proto::handshake::{HeadLimits, HeadScanner, RequestHead};
use wirelet_proto::{Connection, Instant, NoKeys, Role, Upgraded};

use super::exchange::{Exchange, Plan, Then, announced};
use super::route::WebSocketRoute;
use super::{Memory, Place, Settings};
use crate::compression::{Compression, Reservation};
use crate::handler::{Cause, Opened};
use crate::http::{Request, expects_continue};
use crate::net::{Listen, Socket};
use crate::session::{Session, Surroundings, discard};
use crate::table::{Link, Occupied, Phase};
use crate::time::{Clock, before};

/// After a listener's failure.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// Serves one connection after the other.
pub struct Worker<'r, 'c, const RX: usize, const TX: usize> {
    link: Link<'r>,
    memory: &'r mut Memory<'c, RX, TX>,
    settings: &'c Settings<'c>,
    compression: Option<Compression<'r>>,
    /// Of the WebSocket that is open or about to begin; here and not in the future, which is RAM as well.
    lane: Option<Reservation<'r>>,
}

/// How far the speaking of HTTP has come.
enum Spoken<'c> {
    /// A request with its body, in the first bytes of the buffer.
    Request {
        head: usize,
        body: usize,
    },
    Refused(Plan<'c>),
    /// The peer is gone, or is given up.
    Over,
}

/// A WebSocket that is about to begin.
struct Opening<'c> {
    route: u16,
    config: &'c WebSocketRoute<'c>,
    upgraded: Upgraded,
    /// Bytes of the receive buffer that followed the request.
    received: usize,
    /// Bytes of the transmit buffer: the 101.
    tx: usize,
}

impl<'r, 'c, const RX: usize, const TX: usize> Worker<'r, 'c, RX, TX> {
    pub(crate) const fn new(
        link: Link<'r>,
        memory: &'r mut Memory<'c, RX, TX>,
        settings: &'c Settings<'c>,
    ) -> Self {
        Self { link, memory, settings, compression: None, lane: None }
    }

    pub(super) const fn compress(&mut self, compression: Compression<'r>) {
        self.compression = Some(compression);
    }

    /// Serves until [`Handle::stop`](crate::Handle::stop).
    ///
    /// # Cancel safety
    /// Dropping it ends the connection without a closing handshake; the handler's `on_close` is called. It may be called
    /// again.
    pub async fn run<L: Listen, C: Clock>(&mut self, listener: &mut L, clock: &C) {
        while !self.link.stopped() {
            match self.accept(listener).await {
                Some(Ok(mut socket)) => {
                    let _occupied = Occupied::new(self.link);
                    self.serve(&mut socket, clock).await;
                }
                Some(Err(_)) => clock.wait_until(clock.now().plus(LISTEN_AGAIN)).await,
                None => {}
            }
        }
    }

    /// A connection; `None` when something else is to be looked at.
    async fn accept<'l, L: Listen>(&self, listener: &'l mut L) -> Option<Result<L::Socket<'l>, L::Error>> {
        let mut accept = pin!(listener.accept());
        poll_fn(|cx| {
            if let Poll::Ready(accepted) = accept.as_mut().poll(cx) {
                return Poll::Ready(Some(accepted));
            }
            self.link.poll_noticed(cx).map(|()| None)
        })
        .await
    }

    async fn serve<S: Socket, C: Clock>(&mut self, socket: &mut S, clock: &C) {
        // Of a WebSocket whose future was dropped.
        self.lane = None;
        if let Some(opening) = self.http(socket, clock).await {
            self.websocket(socket, clock, &opening).await;
        }
        self.lane = None;
    }

    /// Answers requests until the connection ends or becomes a WebSocket.
    async fn http<S: Socket, C: Clock>(&mut self, socket: &mut S, clock: &C) -> Option<Opening<'c>> {
        let mut filled = 0;
        let mut first = true;
        loop {
            let spoken = self.request(socket, clock, &mut filled, first).await;
            first = false;
            let (plan, used) = match spoken {
                Spoken::Over => return None,
                Spoken::Refused(plan) => (plan, filled),
                Spoken::Request { head, body } => (self.answer(head, body), head.saturating_add(body)),
            };
            self.memory.rx.copy_within(used.min(filled)..filled, 0);
            filled = filled.saturating_sub(used);
            if let Then::Upgrade { route, config, upgraded } = plan.then {
                return Some(Opening { route, config, upgraded, received: filled, tx: plan.tx });
            }
            let last = matches!(plan.then, Then::Close) || self.link.stopped();
            let Memory { rx, tx, .. } = &mut *self.memory;
            for part in [tx.get(..plan.tx).unwrap_or_default(), plan.rest] {
                // Who is refused may still be sending, and would not read before all is sent.
                let scratch = if last { &mut rx[..] } else { &mut [] };
                send(socket, clock, part, scratch, self.settings.send_time).await?;
            }
            if last {
                return self.end(socket, clock).await;
            }
        }
    }

    /// Ends the writing side and lets the peer read what it was sent.
    async fn end<S: Socket, C: Clock>(&mut self, socket: &mut S, clock: &C) -> Option<Opening<'c>> {
        let deadline = clock.now().plus(self.settings.linger_time);
        before(clock, deadline, pin!(socket.shutdown())).await?.ok()?;
        let (mut reader, _writer) = socket.split();
        before(clock, deadline, pin!(discard(&mut reader, &mut self.memory.rx))).await;
        None
    }

    fn answer(&mut self, head: usize, body: usize) -> Plan<'c> {
        let (keep, vacancy) = (self.may_keep(), self.vacancy());
        let Memory { rx, tx, .. } = &mut *self.memory;
        let (compression, lane) = (self.compression, &mut self.lane);
        let exchange = Exchange { routes: self.settings.routes, vacancy, keep, tx, compression, lane };
        let bytes = rx.get(..head.saturating_add(body)).unwrap_or_default();
        match RequestHead::parse(bytes) {
            Ok(parsed) => {
                exchange.answer(&Request { head: parsed, body: bytes.get(head..).unwrap_or_default() })
            }
            Err(error) => exchange.fail(error.status(), error.text()),
        }
    }

    /// A connection is kept for the next request while another worker could take a newcomer.
    fn may_keep(&self) -> bool {
        !self.link.stopped() && (self.link.table.count() == 1 || self.link.table.free() > 0)
    }

    fn vacancy(&self) -> bool {
        let table = self.link.table;
        let websockets = table.count_of(|phase| matches!(phase, Phase::Open | Phase::Closing));
        websockets < table.count().saturating_sub(self.settings.spare).max(1)
    }

    /// Reads a request.
    async fn request<S: Socket, C: Clock>(
        &mut self,
        socket: &mut S,
        clock: &C,
        filled: &mut usize,
        first: bool,
    ) -> Spoken<'c> {
        let mut scanner = HeadScanner::new();
        let limits = HeadLimits { bytes: RX, headers: self.settings.headers };
        let mut waiting = *filled == 0;
        let patience = if first { self.settings.request_time } else { self.settings.keep_alive_time };
        let mut deadline = clock.now().plus(if waiting { patience } else { self.settings.request_time });
        let head = loop {
            match scanner.scan(self.memory.rx.get(..*filled).unwrap_or_default(), &limits) {
                Ok(Some(len)) => break len,
                Ok(None) => {}
                Err(error) => return self.refused(error.status(), error.text()),
            }
            match self.read(socket, clock, *filled, deadline, waiting).await {
                Some(0) => return Spoken::Over,
                Some(n) => *filled = filled.saturating_add(n),
                None if waiting => return Spoken::Over,
                None => return self.refused(408, "the request did not arrive in time"),
            }
            if waiting {
                waiting = false;
                deadline = clock.now().plus(self.settings.request_time);
            }
        };
        self.body(socket, clock, filled, head, deadline).await
    }

    /// Reads the body of a request whose head is there.
    async fn body<S: Socket, C: Clock>(
        &mut self,
        socket: &mut S,
        clock: &C,
        filled: &mut usize,
        head: usize,
        deadline: Instant,
    ) -> Spoken<'c> {
        let bytes = self.memory.rx.get(..head).unwrap_or_default();
        let announced = RequestHead::parse(bytes)
            .map(|parsed| (announced(&parsed, RX.saturating_sub(head)), expects_continue(&parsed)));
        let (body, expects) = match announced {
            Ok((Ok(body), expects)) => (body, expects),
            Ok((Err((status, why)), _)) => return self.refused(status, why),
            Err(error) => return self.refused(error.status(), error.text()),
        };
        let end = head.saturating_add(body);
        if expects && *filled < end {
            let leave = b"HTTP/1.1 100 Continue\r\n\r\n";
            if send(socket, clock, leave, &mut [], self.settings.send_time).await.is_none() {
                return Spoken::Over;
            }
        }
        while *filled < end {
            match self.read(socket, clock, *filled, deadline, false).await {
                Some(0) => return Spoken::Over,
                Some(n) => *filled = filled.saturating_add(n),
                None => return self.refused(408, "the body did not arrive in time"),
            }
        }
        Spoken::Request { head, body }
    }

    fn refused(&mut self, status: u16, why: &str) -> Spoken<'c> {
        let (tx, lane) = (&mut self.memory.tx[..], &mut self.lane);
        let exchange = Exchange { routes: &[], vacancy: false, keep: false, tx, compression: None, lane };
        Spoken::Refused(exchange.fail(status, why))
    }

    /// Reads behind the first `filled` bytes. `None` at the deadline; `Some(0)` at the end, or when a connection that
    /// only `waits` for a request makes way for others.
    async fn read<S: Socket, C: Clock>(
        &mut self,
        socket: &mut S,
        clock: &C,
        filled: usize,
        deadline: Instant,
        waits: bool,
    ) -> Option<usize> {
        let link = self.link;
        let since = waits.then(|| clock.now());
        link.with(|slot, _| slot.waits = since);
        let given_up = || link.with(|slot, _| slot.stop || slot.close.is_some() || (waits && slot.evicted));
        let (mut reader, _writer) = socket.split();
        let mut read = pin!(reader.read(self.memory.rx.get_mut(filled..).unwrap_or_default()));
        let mut alarm = pin!(clock.wait_until(deadline));
        let read = poll_fn(|cx| {
            if let Poll::Ready(read) = read.as_mut().poll(cx) {
                return Poll::Ready(Some(read.unwrap_or(0)));
            }
            while link.poll_noticed(cx).is_ready() {}
            if given_up() != Some(false) {
                return Poll::Ready(Some(0));
            }
            alarm.as_mut().poll(cx).map(|()| None)
        })
        .await;
        link.with(|slot, _| slot.waits = None);
        read
    }

    async fn websocket<S: Socket, C: Clock>(&mut self, socket: &mut S, clock: &C, opening: &Opening<'c>) {
        let now = clock.now();
        let Memory { rx, tx, core } = &mut *self.memory;
        let config = opening.config;
        *core = Place::Taken(Connection::from_upgraded(Role::Server, config.config, opening.upgraded, now));
        let Some(core) = core.get() else { return };
        self.link.with(|slot, _| {
            slot.route = Some(opening.route);
            slot.subprotocol = opening.upgraded.subprotocol;
            slot.overflow = config.overflow;
            slot.enter(Phase::Open);
        });
        let id = self.link.id();
        let (rx, tx) = ((&mut rx[..], opening.received), (&mut tx[..], opening.tx));
        let mut session = Session::begin(core, rx, tx, self.lane.as_mut(), id, now);
        let mut open = Opened::new(config.handler, id);
        session.open(config.handler, &mut NoKeys, now);
        let around = Surroundings {
            link: self.link,
            clock,
            handler: config.handler,
            send_time: self.settings.send_time,
        };
        let cause = session.run(socket, &around, &mut NoKeys).await;
        self.link.with(|slot, _| slot.enter(Phase::Closing));
        open.ended(session.end(cause));
        if matches!(cause, Cause::Closed | Cause::Failed(_) | Cause::Expired(_)) {
            session.linger(socket, clock, true).await;
        }
    }
}

impl<const RX: usize, const TX: usize> core::fmt::Debug for Worker<'_, '_, RX, TX> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Worker").field("index", &self.link.index).finish_non_exhaustive()
    }
}

/// Writes all of `bytes`, unless the peer takes none for `patience`. What arrives meanwhile is thrown away where there is
/// a `scratch` for it.
async fn send<S: Socket, C: Clock>(
    socket: &mut S,
    clock: &C,
    bytes: &[u8],
    scratch: &mut [u8],
    patience: Duration,
) -> Option<()> {
    let (mut reader, mut writer) = socket.split();
    let mut discard = pin!(discard(&mut reader, scratch));
    let mut discarding = true;
    let mut rest = bytes;
    while !rest.is_empty() {
        let write = pin!(writer.write(rest));
        let mut write = pin!(before(clock, clock.now().plus(patience), write));
        let written = poll_fn(|cx| {
            discarding = discarding && discard.as_mut().poll(cx).is_pending();
            write.as_mut().poll(cx)
        });
        let written = written.await?.ok()?;
        rest = rest.get(written..).filter(|_| written > 0)?;
    }
    Some(())
}
