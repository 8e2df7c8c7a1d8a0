//! The client with TLS. Over the serial port come the length of a root (two bytes) and the root, and then the server's records.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt::Write as _;

use wirelet_embedded::tls::rustls::crypto::{GetRandomFailed, SecureRandom};
use wirelet_embedded::tls::{Connector, Crypto, Dates, Error, LONGEST_RECORD, Memory, client_config};
use wirelet_footprint::machine::{Uart, exit, retired};
use wirelet_footprint::serial::Serial;
use wirelet_tls_footprint::{run, start_heap};

/// A chip has a hardware source here; the emulated machine has none worth the name.
#[derive(Debug)]
struct Counter;

impl SecureRandom for Counter {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        bytes.iter_mut().for_each(|byte| *byte = retired().wrapping_mul(0x9E37_79B9).to_be_bytes()[0]);
        Ok(())
    }
}

static CRYPTO: Crypto = Crypto::new(&Counter);

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    start_heap();
    let len = usize::from(u16::from_be_bytes([receive(), receive()]));
    let root: Vec<u8> = (0..len).map(|_| receive()).collect();
    let Ok(config) = client_config(&CRYPTO, &[&root], Dates::Since(0)) else { exit(1) };
    drop(root);
    // On a device it would be static; it is counted apart.
    let memory = Box::leak(Box::new(Memory::<LONGEST_RECORD, 2048>::new()));
    let report = |error: &Error| {
        let _ = writeln!(Uart, "{error}");
    };
    let mut network = Connector::new(Serial, memory, config, &report);
    run("wss://localhost/ws", &mut network)
}

fn receive() -> u8 {
    loop {
        if let Some(byte) = Uart::receive() {
            return byte;
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(1)
}
