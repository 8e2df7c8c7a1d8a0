//! A server and a client of `wirelet-embedded` in one image: what the second of them costs, whose core is there already.

#![no_std]
#![no_main]

use core::future::poll_fn;
use core::pin::pin;

use wirelet_embedded::client::{Client, ClientHandler, ClientResources, Options};
use wirelet_embedded::http::{File, Methods, Request, Response};
use wirelet_embedded::proto::handshake::Uri;
use wirelet_embedded::proto::{Config, Delivery, Event, MaskKeys};
use wirelet_embedded::server::{Route, Settings, WebSocketRoute};
use wirelet_embedded::{Handler, Peer, Resources, Server};
use wirelet_footprint::machine::{block_on, exit, retired};
use wirelet_footprint::serial::{Serial, Ticks};

struct Echo;

impl Handler for Echo {
    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
        if let Event::Chunk(chunk) = event {
            let _ = peer.send_fragment(chunk.kind, chunk.data, chunk.last);
        }
    }
}

struct Answers;

impl Handler for Answers {
    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
        if let Event::Text(text) = event {
            let _ = peer.send(text);
        }
    }
}

impl ClientHandler for Answers {}

/// As in the client's image.
struct Keys;

impl MaskKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        retired().to_le_bytes()
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

async fn serve() {
    let mut resources = Resources::<1, 2048, 2304, 512>::new();
    let (server, _handle) = Server::new(&mut resources, &SETTINGS);
    let [mut worker] = server.into_workers();
    worker.run(&mut Serial, &Ticks).await;
}

async fn connect() {
    let Ok(uri) = Uri::parse("ws://server.example/ws") else { exit(1) };
    let options = Options::new(uri);
    let mut resources = ClientResources::<2048, 2304, 512>::new();
    let (mut client, sender) = Client::new(&mut resources, &options);
    let _ = sender.try_send("too early");
    client.run(&mut Serial, &Ticks, &mut Keys, &Answers).await;
}

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let (mut serving, mut connecting) = (pin!(serve()), pin!(connect()));
    block_on(poll_fn(|cx| {
        let _ = connecting.as_mut().poll(cx);
        serving.as_mut().poll(cx)
    }));
    exit(0)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(1)
}
