//! What a server's or client's image has besides wirelet: the machine, an executor, a socket, a clock. It echoes the bytes
//! that arrive within ten seconds.

#![no_std]
#![no_main]

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use embedded_io_async::{Read, Write};
use wirelet_embedded::Clock;
use wirelet_footprint::machine::{block_on, exit};
use wirelet_footprint::serial::{Serial, Ticks};

async fn echo() {
    let mut bytes = [0; 256];
    let mut socket = Serial;
    let mut alarm = pin!(Ticks.wait_until(Ticks.now().plus(Duration::from_secs(10))));
    loop {
        let arrived = {
            let mut read = pin!(socket.read(&mut bytes));
            poll_fn(|cx| {
                if let Poll::Ready(Ok(n)) = read.as_mut().poll(cx) {
                    return Poll::Ready(Some(n));
                }
                alarm.as_mut().poll(cx).map(|()| None)
            })
            .await
        };
        let Some(n) = arrived else { return };
        let _ = Serial.write_all(bytes.get(..n).unwrap_or_default()).await;
    }
}

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    block_on(echo());
    exit(0)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(1)
}
