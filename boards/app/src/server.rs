//! The server: console at `/`, echo at `/ws`, `/status`, and `/telemetry` for those who want a line every second.

use core::cell::Cell;
use core::fmt::Write as _;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;

use critical_section::Mutex;
use wirelet_embedded::http::{Methods, Request, Response};
use wirelet_embedded::proto::{Config, Delivery, Event, Keepalive, Limits};
use wirelet_embedded::server::{OriginPolicy, Respond, Route, WebSocketRoute};
use wirelet_embedded::{Clock, Handle, Handler, Overflow, Peer, Phase};

use crate::Board;
use crate::console::FILES;
use crate::echo::Echo;
use crate::line::Line;

/// How many routes there are.
pub const ROUTES: usize = FILES.len() + 3;
/// Where telemetry is.
const TELEMETRY: &str = "/telemetry";

/// The echo passes messages on chunk by chunk, so that their size does not matter.
static ECHO: Config = Config {
    limits: Limits { message: u64::MAX, message_time: None, ..Limits::new() },
    keepalive: Keepalive::new(),
    delivery: Delivery::Chunks,
};
static LISTENER: Config = Config::new();

/// The application's state. `'b` outlives all tasks: on a device it is `'static`.
pub struct Application<'b> {
    board: &'b dyn Board,
    echo: Echo<'b>,
    telemetry: Telemetry,
    status: Status<'b>,
}

/// Who listens to telemetry has nothing to say.
struct Telemetry;

impl Handler for Telemetry {
    fn on_event(&self, _: &mut Peer<'_>, _: Event<'_>) {}
}

struct Status<'b> {
    board: &'b dyn Board,
    handle: Mutex<Cell<Option<Handle<'b>>>>,
}

impl<'b> Application<'b> {
    /// The application of a board.
    pub const fn new(board: &'b dyn Board) -> Self {
        let status = Status { board, handle: Mutex::new(Cell::new(None)) };
        Self { board, echo: Echo::new(board), telemetry: Telemetry, status }
    }

    /// The WebSocket routes, which [`routes`](Self::routes) refers to: `/ws` and `/telemetry`.
    ///
    /// Pages of every origin may connect: the device holds no secrets, and a console from elsewhere is welcome.
    pub const fn websockets(&self) -> [WebSocketRoute<'_>; 2] {
        [
            WebSocketRoute { origin: OriginPolicy::Any, ..WebSocketRoute::new(&self.echo, &ECHO) },
            WebSocketRoute {
                origin: OriginPolicy::Any,
                overflow: Overflow::DropOldest,
                ..WebSocketRoute::new(&self.telemetry, &LISTENER)
            },
        ]
    }

    /// The table of routes.
    pub fn routes<'c>(&'c self, [echo, telemetry]: &'c [WebSocketRoute<'c>; 2]) -> [Route<'c>; ROUTES] {
        let mut routes = [Route::websocket("/ws", echo); ROUTES];
        let others =
            [Route::call("/status", Methods::GET, &self.status), Route::websocket(TELEMETRY, telemetry)];
        let files = FILES.iter().map(|(path, file)| Route::file(path, *file));
        for (place, route) in routes.iter_mut().skip(1).zip(others.into_iter().chain(files)) {
            *place = route;
        }
        routes
    }

    /// Tells `/status` about the connections, once there is a server.
    pub fn attach(&self, handle: Handle<'b>) {
        critical_section::with(|section| self.status.handle.borrow(section).set(Some(handle)));
    }

    /// The task that answers "Trigger async". It never ends.
    pub async fn run_answers(&self, handle: Handle<'_>) {
        self.echo.answer(handle).await;
    }

    /// The task that sends telemetry every second. It never ends.
    pub async fn run_telemetry<C: Clock>(&self, handle: Handle<'_>, clock: &C) {
        let mut next = clock.now();
        for sample in 0_u32.. {
            next = next.plus(Duration::from_secs(1));
            clock.wait_until(next).await;
            let mut line = Line::<192>::new();
            let connections = handle.connections().filter(|info| info.phase == Phase::Open).count();
            let _ = write!(line, r#"{{"uptime_ms":{},"connections":{connections}"#, self.board.uptime());
            let _ = write!(line, r#","messages":{}"#, self.echo.messages.load(Relaxed));
            let _ = write!(line, r#","opened":{}"#, self.echo.opened.load(Relaxed));
            if let Some(free) = self.board.free_memory() {
                let _ = write!(line, r#","free_memory":{free}"#);
            }
            let _ = write!(line, r#","temperature":{}}}"#, simulated(sample));
            handle.broadcast(line.text(), |info| info.route == Some(TELEMETRY));
        }
    }
}

/// A sensor for boards without one: degrees that go up and down within two minutes.
fn simulated(sample: u32) -> u32 {
    let phase = sample % 120;
    20 + phase.min(120 - phase) / 10
}

impl Respond for Status<'_> {
    fn respond(&self, _: &Request<'_>, response: &mut Response<'_>) {
        response.header("Cache-Control", "no-store");
        let handle = critical_section::with(|section| self.handle.borrow(section).get());
        let (mut connections, mut websockets) = (0, 0);
        for info in handle.iter().flat_map(Handle::connections) {
            connections += 1;
            websockets += usize::from(info.phase == Phase::Open);
        }
        let (name, version) = (self.board.name(), env!("CARGO_PKG_VERSION"));
        let _ = write!(response, r#"{{"name":"{name}","version":"{version}","#);
        let _ = write!(response, r#""uptime_ms":{},"connections":{websockets},"#, self.board.uptime());
        if let Some(free) = self.board.free_memory() {
            let _ = write!(response, r#""free_memory":{free},"#);
        }
        let _ = write!(response, r#""sockets":{connections}}}"#);
    }
}
