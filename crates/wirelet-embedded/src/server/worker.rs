//! The worker: accepts, speaks HTTP, and drives the WebSocket that comes out of it.

use core::future::{pending, poll_fn};
use core::net::SocketAddr;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use embedded_io_async::{Read as _, Write as _};
use wirelet_proto::handshake::{
    HeadLimits, HeadScanner, HttpVersion, RequestHead, is_head_request, is_upgrade,
};
use wirelet_proto::{Connection, Instant, NoKeys, Role, Upgraded};

use super::exchanges::{Around, Asked, Exchanges, Nobody, Serve, Served};
use super::responder::{Plan, Responder, Then, after, announced};
use super::route::{Route, WebSocketRoute, is_pulled};
use super::{Memory, Place, Settings};
use crate::Outcome;
use crate::compression::{Compression, Reservation};
use crate::context::Room;
use crate::counters::{Count, Counters};
use crate::events;
use crate::handler::Handler;
use crate::http::{Begin, Exchange, Framing, Request, framing};
use crate::net::{Listen, Socket};
use crate::progress::Progress;
use crate::session::{Session, Surroundings, discard};
use crate::table::{Link, Occupied, Order, Phase, Waits};
use crate::talk::{Callbacks, Pull, Talk};
use crate::time::{Clock, before, earlier, unless_stopped};
use crate::websocket::WebSocket;

/// How long a newcomer waits for the place of a connection that is about to end, and how often it looks. The end of the one and the
/// beginning of the other may have arrived together, and the other be served first.
const MAKE_WAY: Duration = Duration::from_millis(250);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
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
    /// Where the upgrade hook leaves a value for the handler.
    context: Option<&'r mut dyn Room>,
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
        Self { link, memory, settings, compression: None, lane: None, context: None }
    }

    pub(super) const fn compress(&mut self, compression: Compression<'r>) {
        self.compression = Some(compression);
    }

    pub(super) fn keep_context(&mut self, context: &'r mut dyn Room) {
        self.context = Some(context);
    }

    /// Serves until [`Handle::stop`](crate::Handle::stop). Called again, it serves again.
    ///
    /// # Cancel safety
    /// Dropping it ends the connection without a closing handshake; the handler's `on_close` is called. It may be called
    /// again.
    pub fn run<L: Listen, C: Clock>(&mut self, listener: &mut L, clock: &C) -> impl Future<Output = ()> {
        self.serve(listener, clock, Callbacks, Nobody)
    }

    /// As [`run`](Self::run), with an async function for the WebSockets of routes without a handler
    /// ([`WebSocketRoute::pull`]). The function sees by [`WebSocket::route`] which of them it has.
    ///
    /// Its future is a part of this one, and with it of the worker's task.
    ///
    /// # Cancel safety
    /// As [`run`](Self::run); the function's future is dropped as well.
    pub async fn run_with<L: Listen, C: Clock, O: Outcome>(
        &mut self,
        listener: &mut L,
        clock: &C,
        function: impl AsyncFn(WebSocket<'_>) -> O,
    ) {
        self.serve(listener, clock, Pull(&function), Nobody).await;
    }

    /// As [`run`](Self::run), with an async function for the requests of [`Route::pull`](super::Route::pull). The function sees by
    /// [`Exchange::route`] which of them it has.
    ///
    /// Its future is a part of this one, and with it of the worker's task.
    ///
    /// # Cancel safety
    /// As [`run`](Self::run); the function's future is dropped as well.
    pub async fn run_http_with<L: Listen, C: Clock, O: Outcome>(
        &mut self,
        listener: &mut L,
        clock: &C,
        http: impl AsyncFn(Exchange<'_>) -> O,
    ) {
        self.serve(listener, clock, Callbacks, Exchanges(&http)).await;
    }

    /// As [`run_with`](Self::run_with) and [`run_http_with`](Self::run_http_with) together.
    ///
    /// # Cancel safety
    /// As [`run`](Self::run); the functions' futures are dropped as well.
    pub async fn run_all_with<L: Listen, C: Clock, O: Outcome, P: Outcome>(
        &mut self,
        listener: &mut L,
        clock: &C,
        websockets: impl AsyncFn(WebSocket<'_>) -> O,
        http: impl AsyncFn(Exchange<'_>) -> P,
    ) {
        self.serve(listener, clock, Pull(&websockets), Exchanges(&http)).await;
    }

    async fn serve<L: Listen, C: Clock, T: Talk, H: Serve>(
        &mut self,
        listener: &mut L,
        clock: &C,
        talk: T,
        serve: H,
    ) {
        loop {
            match unless_stopped(self.link, pin!(listener.accept())).await {
                None => break,
                Some(Ok(mut socket)) => {
                    let _occupied = Occupied::new(self.link);
                    Counters::count(self.settings.counters, Count::Connection, 1);
                    // Of a WebSocket whose future was dropped.
                    self.clear();
                    if let Some(opening) = self.http(&mut socket, clock, T::PULLS, serve).await {
                        self.websocket(&mut socket, clock, &opening, talk).await;
                    }
                    self.clear();
                }
                Some(Err(_)) => {
                    events::deaf();
                    let again = clock.now().plus(LISTEN_AGAIN);
                    unless_stopped(self.link, pin!(clock.wait_until(again))).await;
                }
            }
        }
        self.link.returned();
    }

    /// Gives back what a WebSocket has besides its connection.
    fn clear(&mut self) {
        self.lane = None;
        if let Some(context) = &mut self.context {
            context.clear();
        }
    }

    /// Answers requests until the connection ends or becomes a WebSocket.
    async fn http<S: Socket, C: Clock, H: Serve>(
        &mut self,
        socket: &mut S,
        clock: &C,
        pulls: bool,
        serve: H,
    ) -> Option<Opening<'c>> {
        let mut filled = 0;
        let mut first = true;
        loop {
            let spoken = match self.head(socket, clock, &mut filled, first).await {
                // The function reads the body.
                Ok((head, _)) if H::PRESENT && self.is_pulled(head) => Spoken::Request { head, body: 0 },
                Ok((head, deadline)) => self.body(socket, clock, &mut filled, head, deadline).await,
                Err(spoken) => spoken,
            };
            first = false;
            let (plan, used) = match spoken {
                Spoken::Over => return None,
                Spoken::Refused(plan) => (plan, filled),
                Spoken::Request { head, body } => {
                    self.place(clock, head).await;
                    let unread = H::PRESENT && self.has_unread(head);
                    let plan = self.answer(head, body, (pulls, H::PRESENT), unread, socket.peer());
                    if H::PRESENT && matches!(plan.then, Then::Exchange { .. }) {
                        self.exchange(socket, clock, head, &mut filled, &plan, serve).await?
                    } else {
                        (plan, head.saturating_add(body))
                    }
                }
            };
            self.memory.rx.copy_within(used.min(filled)..filled, 0);
            filled = filled.saturating_sub(used);
            if let Then::Upgrade { route, config, upgraded } = plan.then {
                return Some(Opening { route, config, upgraded, received: filled, tx: plan.tx });
            }
            let last = matches!(plan.then, Then::Close) || self.link.stopped();
            let mut patience = self.patience(clock);
            let Memory { rx, tx, .. } = &mut *self.memory;
            for part in [tx.get(..plan.tx).unwrap_or_default(), plan.rest] {
                // Who is refused may still be sending, and would not read before all is sent.
                let scratch = if last { &mut rx[..] } else { &mut [] };
                patience.send(socket, part, scratch).await?;
            }
            if last {
                return self.end(socket, clock).await;
            }
        }
    }

    /// Ends the writing side and lets the peer read what it was sent.
    async fn end<S: Socket, C: Clock>(&mut self, socket: &mut S, clock: &C) -> Option<Opening<'c>> {
        let now = clock.now();
        let ends = self.link.ends(now, self.settings.closing_time);
        let deadline = now.plus(self.settings.linger_time);
        let deadline = ends.map_or(deadline, |ends| deadline.min(ends));
        before(clock, deadline, pin!(socket.shutdown())).await?.ok()?;
        let (mut reader, _writer) = socket.split();
        before(clock, deadline, pin!(discard(&mut reader, &mut self.memory.rx))).await;
        None
    }

    /// Whether a request is one for an async function.
    fn is_pulled(&self, head: usize) -> bool {
        let parsed = RequestHead::parse(self.memory.rx.get(..head).unwrap_or_default());
        parsed.is_ok_and(|head| is_pulled(self.settings.routes, &head))
    }

    /// Whether it has a body, which the function would read.
    fn has_unread(&self, head: usize) -> bool {
        let parsed = RequestHead::parse(self.memory.rx.get(..head).unwrap_or_default());
        parsed.is_ok_and(|parsed| {
            is_pulled(self.settings.routes, &parsed) && framing(&parsed) != Ok(Framing::Length(0))
        })
    }

    /// Has an async function answer the request whose head stands at the front of the buffer. What is left to be sent, and how many
    /// bytes of the buffer were used; `None` when the connection is lost.
    async fn exchange<S: Socket, C: Clock, H: Serve>(
        &mut self,
        socket: &mut S,
        clock: &C,
        head: usize,
        filled: &mut usize,
        plan: &Plan<'c>,
        serve: H,
    ) -> Option<(Plan<'c>, usize)> {
        let Then::Exchange { route, framing, most, keep } = plan.then else { return None };
        let peer = socket.peer();
        let Memory { rx, tx, .. } = &mut *self.memory;
        let (front, rx) = rx.split_at_mut_checked(head)?;
        let parsed = RequestHead::parse(front).ok()?;
        let route = self.settings.routes.get(usize::from(route))?;
        let begin = Begin {
            framing,
            most,
            expects: parsed.expects_continue(),
            keep,
            bodiless: is_head_request(front),
            chunks: parsed.version() >= HttpVersion::HTTP_11,
            lines: "",
        };
        let request = Request { head: parsed, body: &[], route: route.path(), peer };
        let around = Around { link: self.link, clock, settings: self.settings };
        let filled_behind = filled.saturating_sub(head);
        let asked = Asked { request, name: route.name(), begin, rx, filled: filled_behind, tx };
        let Served { refusal, keep, from, filled: behind } = serve.serve(asked, socket, around).await?;
        *filled = head.saturating_add(behind);
        let plan = match refusal {
            Some((status, why)) => self.refusal(head, status, why, keep),
            None => Plan { tx: 0, rest: &[], then: after(keep) },
        };
        Some((plan, head.saturating_add(from)))
    }

    /// A refusal of the request whose head stands at the front of the buffer.
    fn refusal(&mut self, head: usize, status: u16, why: &str, keep: bool) -> Plan<'c> {
        let Memory { rx, tx, .. } = &mut *self.memory;
        let bytes = rx.get(..head).unwrap_or_default();
        let about = RequestHead::parse(bytes).map_or(["", ""], |head| [head.method(), head.path()]);
        let bodiless = is_head_request(bytes);
        let responder =
            Responder { bodiless, keep, about, ..Responder::new(self.settings, tx, &mut self.lane) };
        responder.refuse(status, why, &[])
    }

    fn answer(
        &mut self,
        head: usize,
        body: usize,
        (pulls, serves): (bool, bool),
        unread: bool,
        peer: Option<SocketAddr>,
    ) -> Plan<'c> {
        let (keep, vacancy) = (self.may_keep(), self.vacancy());
        let Memory { rx, tx, .. } = &mut *self.memory;
        let (compression, lane) = (self.compression, &mut self.lane);
        let bytes = rx.get(..head.saturating_add(body)).unwrap_or_default();
        let parsed = RequestHead::parse(bytes);
        let about = parsed.map_or(["", ""], |head| [head.method(), head.path()]);
        let context: Option<&mut dyn Room> = match &mut self.context {
            Some(context) => Some(&mut **context),
            None => None,
        };
        let responder = Responder {
            vacancy,
            pulls,
            serves,
            unread,
            keep,
            bodiless: is_head_request(bytes),
            compression,
            context,
            about,
            ..Responder::new(self.settings, tx, lane)
        };
        match parsed {
            Ok(parsed) => {
                let body = bytes.get(head..).unwrap_or_default();
                responder.answer(Request { head: parsed, body, route: "", peer })
            }
            Err(error) => responder.fail(error.status(), error.text()),
        }
    }

    /// A connection is kept for the next request while another worker could take a newcomer.
    fn may_keep(&self) -> bool {
        !self.link.stopped() && (self.link.table.count() == 1 || self.link.table.free() > 0)
    }

    /// The limits of a response that begins.
    fn patience<'p, C: Clock>(&self, clock: &'p C) -> Patience<'p, C>
    where
        'r: 'p,
        'c: 'p,
    {
        let progress = Progress::new(clock.now());
        Patience { link: self.link, clock, settings: self.settings, progress }
    }

    /// Whether another WebSocket may be opened. One that has ended, and only waits for its peer to end too, leaves its place to it.
    fn vacancy(&self) -> bool {
        let table = self.link.table;
        let websockets = table.count_of(|phase| phase == Phase::Open);
        websockets < table.count().saturating_sub(self.settings.spare).max(1)
    }

    /// Waits a moment for a place where the request asks for a WebSocket and there is none.
    async fn place<C: Clock>(&self, clock: &C, head: usize) {
        let bytes = self.memory.rx.get(..head).unwrap_or_default();
        let until = clock.now().plus(MAKE_WAY);
        let wants = !self.vacancy() && RequestHead::parse(bytes).is_ok_and(|parsed| is_upgrade(&parsed));
        while wants && !self.vacancy() && clock.now() < until {
            let again = clock.now().plus(LOOK_AGAIN);
            if unless_stopped(self.link, pin!(clock.wait_until(again))).await.is_none() {
                return;
            }
        }
    }

    /// Reads the head of a request: how long it is, and until when the body has to arrive.
    async fn head<S: Socket, C: Clock>(
        &mut self,
        socket: &mut S,
        clock: &C,
        filled: &mut usize,
        first: bool,
    ) -> Result<(usize, Instant), Spoken<'c>> {
        let mut scanner = HeadScanner::new();
        let limits = HeadLimits { bytes: RX, headers: self.settings.headers };
        let mut waiting = *filled == 0;
        let patience = if first { self.settings.request_time } else { self.settings.keep_alive_time };
        let mut deadline = clock.now().plus(if waiting { patience } else { self.settings.request_time });
        loop {
            match scanner.scan(self.memory.rx.get(..*filled).unwrap_or_default(), &limits) {
                Ok(Some(len)) => return Ok((len, deadline)),
                Ok(None) => {}
                Err(error) => return Err(self.refused(*filled, error.status(), error.text())),
            }
            match self.read(socket, clock, *filled, deadline, waiting).await {
                Some(0) => return Err(Spoken::Over),
                Some(n) => *filled = filled.saturating_add(n),
                None if waiting => return Err(Spoken::Over),
                None => return Err(self.refused(*filled, 408, "the request did not arrive in time")),
            }
            if waiting {
                waiting = false;
                deadline = clock.now().plus(self.settings.request_time);
            }
        }
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
            .map(|parsed| (announced(&parsed, RX.saturating_sub(head)), parsed.expects_continue()));
        let (body, expects) = match announced {
            Ok((Ok(body), expects)) => (body, expects),
            Ok((Err((status, why)), _)) => return self.refused(*filled, status, why),
            Err(error) => return self.refused(*filled, error.status(), error.text()),
        };
        let end = head.saturating_add(body);
        if expects && *filled < end {
            let mut patience = self.patience(clock);
            if patience.send(socket, b"HTTP/1.1 100 Continue\r\n\r\n", &mut []).await.is_none() {
                return Spoken::Over;
            }
        }
        while *filled < end {
            match self.read(socket, clock, *filled, deadline, false).await {
                Some(0) => return Spoken::Over,
                Some(n) => *filled = filled.saturating_add(n),
                None => return self.refused(*filled, 408, "the body did not arrive in time"),
            }
        }
        Spoken::Request { head, body }
    }

    /// A refusal of what the first `filled` bytes of the buffer begin.
    fn refused(&mut self, filled: usize, status: u16, why: &str) -> Spoken<'c> {
        let Memory { rx, tx, .. } = &mut *self.memory;
        let bodiless = is_head_request(rx.get(..filled).unwrap_or_default());
        let responder = Responder { bodiless, ..Responder::new(self.settings, tx, &mut self.lane) };
        Spoken::Refused(responder.fail(status, why))
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
        let since = if waits { Waits::Since(clock.now()) } else { Waits::No };
        link.with(|slot, _| slot.waits = since);
        let given_up = || link.with(|slot, _| slot.order != Order::None || slot.waits == Waits::Evicted);
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
        link.with(|slot, _| slot.waits = Waits::No);
        read
    }

    #[expect(clippy::manual_async_fn, reason = "the future of an async function holds its arguments twice")]
    fn websocket<S: Socket, C: Clock>(
        &mut self,
        socket: &mut S,
        clock: &C,
        opening: &Opening<'c>,
        talk: impl Talk,
    ) -> impl Future<Output = ()> {
        async move {
            let now = clock.now();
            let Memory { rx, tx, core } = &mut *self.memory;
            let config = opening.config;
            *core =
                Place::Taken(Connection::from_upgraded(Role::Server, config.config, opening.upgraded, now));
            let Some(core) = core.get() else { return };
            self.link.with(|slot, _| {
                slot.route = Some(opening.route);
                slot.subprotocol = opening.upgraded.subprotocol;
                slot.overflow = config.overflow;
                slot.compressed = opening.upgraded.extensions.deflate.is_some();
                slot.enter(Phase::Open);
            });
            let id = self.link.id();
            let (rx, tx) = ((&mut rx[..], opening.received), (&mut tx[..], opening.tx));
            let mut keys = NoKeys;
            let mut session = Session::begin(core, rx, tx, self.lane.as_mut(), &mut keys, id);
            if let Some(context) = &mut self.context {
                session.keep_context(&mut **context);
            }
            let handler: Option<&dyn Handler> = config.handler.map(|handler| handler as _);
            let around = Surroundings {
                link: self.link,
                clock,
                handler: handler.unwrap_or(&()),
                closing_time: &self.settings.closing_time,
                counters: self.settings.counters,
            };
            let name = self.settings.routes.get(usize::from(opening.route)).map_or("", Route::name);
            let pulls = handler.is_none().then_some(name);
            events::opened(id, name);
            talk.talk(&mut session, socket, &around, pulls).await;
        }
    }
}

impl<const RX: usize, const TX: usize> core::fmt::Debug for Worker<'_, '_, RX, TX> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Worker").field("index", &self.link.index).finish_non_exhaustive()
    }
}

/// How long a peer may take for a response.
struct Patience<'p, C> {
    link: Link<'p>,
    clock: &'p C,
    settings: &'p Settings<'p>,
    progress: Progress,
}

impl<C: Clock> Patience<'_, C> {
    /// When there is none left, if the peer takes nothing more.
    fn deadline(&self, now: Instant) -> Option<Instant> {
        let Settings { stalled_time, slowest, closing_time, .. } = *self.settings;
        let ends = self.link.ends(now, closing_time);
        earlier(ends, self.progress.deadline(stalled_time, slowest))
    }

    /// Writes all of `bytes`, unless the peer is too slow, or the server stops. What arrives meanwhile is thrown away where
    /// there is a `scratch` for it.
    async fn send<S: Socket>(&mut self, socket: &mut S, bytes: &[u8], scratch: &mut [u8]) -> Option<()> {
        let (mut reader, mut writer) = socket.split();
        let mut discard = pin!(discard(&mut reader, scratch));
        let mut discarding = true;
        let mut rest = bytes;
        while !rest.is_empty() {
            let now = self.clock.now();
            let deadline = self.deadline(now);
            if deadline.is_some_and(|deadline| deadline <= now) {
                return None;
            }
            let mut write = pin!(writer.write(rest));
            let mut alarm = pin!(async {
                match deadline {
                    Some(deadline) => self.clock.wait_until(deadline).await,
                    None => pending().await,
                }
            });
            let written = poll_fn(|cx| {
                discarding = discarding && discard.as_mut().poll(cx).is_pending();
                if let Poll::Ready(written) = write.as_mut().poll(cx) {
                    return Poll::Ready(Some(written));
                }
                // A stop makes the deadline another one.
                if self.link.poll_noticed(cx).is_ready() {
                    return Poll::Ready(None);
                }
                alarm.as_mut().poll(cx).map(|()| None)
            });
            if let Some(written) = written.await {
                let n = written.ok().filter(|n| *n > 0)?;
                rest = rest.get(n..)?;
                self.progress.took(n, self.settings.slowest, self.clock.now());
            }
        }
        Some(())
    }
}
