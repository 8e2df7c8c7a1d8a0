//! A server of `wirelet-embedded`: a page, a route that makes its response, and an echo that passes chunks on.

#![no_std]
#![no_main]

use wirelet_embedded::http::{File, Methods, Request, Response};
use wirelet_embedded::proto::{Config, Delivery, Event};
use wirelet_embedded::server::{Route, Settings, WebSocketRoute};
use wirelet_embedded::{Handler, Peer, Resources, Server};
use wirelet_footprint::machine::{block_on, exit};
use wirelet_footprint::serial::{Serial, Ticks};

struct Echo;

impl Handler for Echo {
    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
        if let Event::Chunk(chunk) = event {
            let _ = peer.send_fragment(chunk.kind, chunk.data, chunk.last);
        }
    }
}

fn status(_: &Request<'_>, response: &mut Response<'_>) {
    let _ = core::fmt::Write::write_str(response, "{}");
}

static CONFIG: Config = Config { delivery: Delivery::Chunks, ..Config::new() };
static ECHO: WebSocketRoute<'static> = WebSocketRoute::new(&Echo, &CONFIG);
static ROUTES: [Route<'static>; 3] = [
    Route::file("/", File::new(b"It works", "text/plain")),
    Route::call("/status", Methods::GET, &status),
    Route::websocket("/ws", &ECHO),
];
static SETTINGS: Settings<'static> = Settings::new(&ROUTES);

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let mut resources = Resources::<1, 2048, 2304, 512>::new();
    let (server, _handle) = Server::new(&mut resources, &SETTINGS);
    let [mut worker] = server.into_workers();
    block_on(worker.run(&mut Serial, &Ticks));
    exit(0)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(1)
}
