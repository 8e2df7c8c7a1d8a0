//! The server: console at `/`, echo at `/ws`, `/status`, and `/telemetry` for those who want a line every second.

use core::cell::Cell;
use core::fmt::Write as _;
use core::time::Duration;

use critical_section::Mutex;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;
use wirelet_embedded::http::{Methods, Request, Response};
use wirelet_embedded::proto::handshake::Rejection;
use wirelet_embedded::proto::{Config, Delivery, Event, Keepalive, Limits};
use wirelet_embedded::server::{
    Acceptance, Opening, OriginPolicy, Respond, Route, Settings, Upgrade, WebSocketRoute,
};
use wirelet_embedded::{Clock, ConnectionId, Counters, Error, Handle, Outcome, Overflow, Phase, WebSocket};

use crate::Board;
use crate::console::{COUNT, FILES};
use crate::line::Line;

/// How many routes there are.
pub const ROUTES: usize = COUNT + 3;
/// The name of the route for telemetry.
const TELEMETRY: &str = "telemetry";
/// What somebody sends to be answered by another task, and the answer.
const TRIGGER: &[u8] = b"Trigger async";
const ANSWER: &str = "Async data";
/// Connections that may wait for their answer.
const WAITING: usize = 8;
/// What the echo takes at a time, bytes: it is a part of each worker's future.
const PIECE: usize = 512;

/// The longest address with its port: IPv6.
const ADDRESS: usize = 56;

/// The echo passes messages on chunk by chunk, so that their size does not matter.
static ECHO: Config = Config {
    limits: Limits { message: u64::MAX, message_time: None, ..Limits::new() },
    keepalive: Keepalive::new(),
    delivery: Delivery::Chunks,
};
static LISTENER: Config = Config::new();
static COUNTERS: Counters = Counters::new();

/// Who has opened a WebSocket: the value that the upgrade hook hands over, in memory of
/// [`Server::with_context`](wirelet_embedded::Server::with_context).
#[derive(Clone, Copy, Debug)]
pub struct Guest(Line<ADDRESS>);

/// The application's state. `'b` outlives all tasks: on a device it is `'static`.
pub struct Application<'b> {
    board: &'b dyn Board,
    triggers: Channel<CriticalSectionRawMutex, ConnectionId, WAITING>,
    handle: Mutex<Cell<Option<Handle<'b>>>>,
    messages: Mutex<Cell<u32>>,
}

impl<'b> Application<'b> {
    /// The application of a board.
    pub const fn new(board: &'b dyn Board) -> Self {
        let (handle, messages) = (Mutex::new(Cell::new(None)), Mutex::new(Cell::new(0)));
        Self { board, triggers: Channel::new(), handle, messages }
    }

    /// The WebSocket routes, which [`routes`](Self::routes) refers to: `/ws`, for [`serve`](Self::serve), and `/telemetry`.
    ///
    /// Pages of every origin may connect: the device holds no secrets, and a console from elsewhere is welcome.
    pub const fn websockets(&self) -> [WebSocketRoute<'_>; 2] {
        let (origin, upgrade) = (OriginPolicy::Any, Some(Upgrade::new(&introduce)));
        [
            WebSocketRoute { origin, upgrade, ..WebSocketRoute::pull(&ECHO) },
            // Who listens to telemetry has nothing to say.
            WebSocketRoute { origin, overflow: Overflow::DropOldest, ..WebSocketRoute::new(&(), &LISTENER) },
        ]
    }

    /// The table of routes.
    pub fn routes<'c>(&'c self, [echo, telemetry]: &'c [WebSocketRoute<'c>; 2]) -> [Route<'c>; ROUTES] {
        let mut routes = [Route::websocket("/ws", echo).named("echo"); ROUTES];
        let telemetry = Route::websocket("/telemetry", telemetry).named(TELEMETRY);
        let others = [Route::call("/status", Methods::GET, self), telemetry];
        let files = FILES.iter().map(|(path, file)| Route::file(path, *file));
        for (place, route) in routes.iter_mut().skip(1).zip(others.into_iter().chain(files)) {
            *place = route;
        }
        routes
    }

    /// The settings of the server.
    pub const fn settings<'c>(routes: &'c [Route<'c>]) -> Settings<'c> {
        Settings { counters: Some(&COUNTERS), ..Settings::new(routes) }
    }

    /// Tells `/status` about the connections, once there is a server.
    pub fn attach(&self, handle: Handle<'b>) {
        critical_section::with(|section| self.handle.borrow(section).set(Some(handle)));
    }

    /// A connection of `/ws`: what arrives goes back chunk by chunk, and "Trigger async" is answered by another task.
    ///
    /// # Cancel safety
    /// Dropping it ends the echo in the middle of a message.
    pub async fn serve(&self, mut ws: WebSocket<'_>) -> impl Outcome + use<> {
        let id = ws.id();
        if let Some(Guest(peer)) = ws.context() {
            self.board.log(format_args!("WebSocket {} is {}", id.index(), peer.text()));
        }
        self.echo(id, &mut ws).await
    }

    async fn echo(&self, id: ConnectionId, ws: &mut WebSocket<'_>) -> Result<(), Error> {
        let mut buffer = [0; PIECE];
        while let Some(event) = ws.recv_event(&mut buffer).await? {
            let Event::Chunk(chunk) = event else { continue };
            if chunk.last {
                critical_section::with(|section| self.messages.borrow(section).update(|n| n.wrapping_add(1)));
            }
            if !(chunk.first && chunk.last && chunk.data == TRIGGER) {
                ws.send_fragment(chunk.kind, chunk.data, chunk.last).await?;
            } else if self.triggers.try_send(id).is_err() {
                ws.send("too many wait already").await?;
            }
        }
        Ok(())
    }

    /// The task that answers "Trigger async". It never ends.
    ///
    /// # Cancel safety
    /// Dropping it drops an answer.
    pub async fn run_answers(&self, handle: Handle<'_>) {
        loop {
            if let Err(error) = handle.send(self.triggers.receive().await, ANSWER).await {
                self.board.log(format_args!("async: {error}"));
            }
        }
    }

    /// The task that sends telemetry every second. It never ends.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn run_telemetry<C: Clock>(&self, handle: Handle<'_>, clock: &C) {
        let mut next = clock.now();
        for sample in 0_u32.. {
            next = next.plus(Duration::from_secs(1));
            clock.wait_until(next).await;
            let mut line = Line::<192>::new();
            let connections = handle.connections().filter(|info| info.phase == Phase::Open).count();
            let messages = critical_section::with(|section| self.messages.borrow(section).get());
            let _ = write!(line, r#"{{"uptime_ms":{},"connections":{connections}"#, self.board.uptime());
            let _ = write!(line, r#","messages":{messages},"opened":{}"#, COUNTERS.counts().opened);
            if let Some(free) = self.board.free_memory() {
                let _ = write!(line, r#","free_memory":{free}"#);
            }
            let _ = write!(line, r#","temperature":{}}}"#, simulated(sample));
            handle.broadcast(line.text(), |info| info.route == Some(TELEMETRY));
        }
    }
}

/// Says who opens a WebSocket.
fn introduce(request: &Opening<'_>, answer: &mut Acceptance<'_>) -> Result<(), Rejection<'static>> {
    let mut peer = Line::new();
    if request.peer().is_some_and(|address| write!(peer, "{address}").is_ok()) {
        answer.hand(Guest(peer));
    }
    Ok(())
}

/// A sensor for boards without one: degrees that go up and down within two minutes.
fn simulated(sample: u32) -> u32 {
    let phase = sample % 120;
    20 + phase.min(120 - phase) / 10
}

impl Respond for Application<'_> {
    fn respond(&self, _: &Request<'_>, response: &mut Response<'_>) {
        response.header("Cache-Control", "no-store");
        let handle = critical_section::with(|section| self.handle.borrow(section).get());
        let (mut connections, mut websockets) = (0, 0);
        for info in handle.iter().flat_map(Handle::connections) {
            connections += 1;
            websockets += usize::from(info.phase == Phase::Open);
        }
        let (name, version, counts) = (self.board.name(), env!("CARGO_PKG_VERSION"), COUNTERS.counts());
        let _ = write!(response, r#"{{"name":"{name}","version":"{version}","#);
        let _ = write!(response, r#""uptime_ms":{},"connections":{websockets},"#, self.board.uptime());
        let _ = write!(response, r#""opened":{},"refused":{},"#, counts.opened, counts.refused.total());
        let _ = write!(response, r#""received":{},"sent":{},"#, counts.received, counts.sent);
        if let Some(free) = self.board.free_memory() {
            let _ = write!(response, r#""free_memory":{free},"#);
        }
        let _ = write!(response, r#""sockets":{connections}}}"#);
    }
}
