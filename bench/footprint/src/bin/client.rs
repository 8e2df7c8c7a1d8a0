//! A client of `wirelet-embedded`: it connects, answers what it is sent with the same, and connects again.

#![no_std]
#![no_main]

use wirelet_embedded::client::{Client, ClientHandler, ClientResources, Options};
use wirelet_embedded::proto::handshake::Uri;
use wirelet_embedded::proto::{Event, MaskKeys};
use wirelet_embedded::{Handler, Peer};
use wirelet_footprint::machine::{block_on, exit, retired};
use wirelet_footprint::serial::{Serial, Ticks};

struct Answers;

impl Handler for Answers {
    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
        if let Event::Text(text) = event {
            let _ = peer.send(text);
        }
    }
}

impl ClientHandler for Answers {}

/// A chip has a hardware source here; the emulated machine has none worth the name.
struct Keys;

impl MaskKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        retired().to_le_bytes()
    }
}

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let Ok(uri) = Uri::parse("ws://server.example/ws") else { exit(1) };
    let options = Options::new(uri);
    let mut resources = ClientResources::<2048, 2304, 512>::new();
    let (mut client, sender) = Client::new(&mut resources, &options);
    let _ = sender.try_send("too early");
    block_on(client.run(&mut Serial, &Ticks, &mut Keys, &Answers));
    exit(0)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(1)
}
