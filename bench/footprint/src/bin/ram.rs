//! Prints how much memory things take on a chip with 32 bits.

#![no_std]
#![no_main]

use core::fmt::Write;

use wirelet_embedded::client::{Client, ClientHandler, ClientResources, Options};
use wirelet_embedded::proto::handshake::Uri;
use wirelet_embedded::proto::{Config, Connection, Decoder, Event, Fixed, NoKeys, RecvBuffer};
use wirelet_embedded::server::Settings;
use wirelet_embedded::{Handler, Peer, Resources, Server};
use wirelet_footprint::machine::{Uart, exit};
use wirelet_footprint::serial::{Serial, Ticks};

const RX: usize = 2048;
const TX: usize = 2304;
const QUEUE: usize = 512;

struct Quiet;

impl Handler for Quiet {
    fn on_event(&self, _: &mut Peer<'_>, _: Event<'_>) {}
}

impl ClientHandler for Quiet {}

fn line(name: &str, bytes: usize) {
    let _ = writeln!(Uart, "ram {bytes} {name}");
}

fn print() {
    let buffers = RX + TX + QUEUE;
    line("connection", size_of::<Connection<&'static Config>>());
    line("decoder (in it)", size_of::<Decoder>());
    line("server_connection", size_of::<Resources<'static, 1, RX, TX, QUEUE>>() - buffers);
    line("client_connection", size_of::<ClientResources<'static, RX, TX, QUEUE>>() - buffers);
    line("cursors of the receive buffer (in the futures)", size_of::<RecvBuffer<Fixed<&mut [u8]>>>());

    let settings = Settings::new(&[]);
    let mut resources = Resources::<1, RX, TX, QUEUE>::new();
    let (server, _) = Server::new(&mut resources, &settings);
    let [mut worker] = server.into_workers();
    line("worker_future", size_of_val(&worker.run(&mut Serial, &Ticks)));

    let Ok(uri) = Uri::parse("ws://server.example/ws") else { exit(1) };
    let options = Options::new(uri);
    line("client's options", size_of_val(&options));
    let mut resources = ClientResources::<RX, TX, QUEUE>::new();
    let (mut client, _) = Client::new(&mut resources, &options);
    line("client_future", size_of_val(&client.run(&mut Serial, &Ticks, &mut NoKeys, &Quiet)));
}

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    print();
    exit(0)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Uart, "{info}");
    exit(1)
}
