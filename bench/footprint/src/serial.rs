//! The serial port as a network: whoever is at its other end is the only peer there is.

use core::convert::Infallible;
use core::future::{poll_fn, ready};
use core::task::Poll;

use embedded_io_async::{ErrorType, Read, Write};
use wirelet_embedded::Clock;
use wirelet_embedded::net::{Connect, Listen, Remote, Socket};
use wirelet_embedded::proto::Instant;

use crate::machine::{Uart, millis};

/// One end of the line: listener, connector, socket and both halves of it.
#[derive(Clone, Copy, Debug)]
pub struct Serial;

impl ErrorType for Serial {
    type Error = Infallible;
}

impl Read for Serial {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        poll_fn(|_| match read_now(buf) {
            0 if !buf.is_empty() => Poll::Pending,
            n => Poll::Ready(Ok(n)),
        })
        .await
    }
}

impl Write for Serial {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        write_now(buf);
        Ok(buf.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Socket for Serial {
    type Error = Infallible;
    type Reader<'s> = Self;
    type Writer<'s> = Self;

    fn split(&mut self) -> (Self, Self) {
        (Self, Self)
    }

    fn shutdown(&mut self) -> impl Future<Output = Result<(), Infallible>> {
        ready(Ok(()))
    }
}

impl Listen for Serial {
    type Socket<'l> = Self;
    type Error = Infallible;

    fn accept(&mut self) -> impl Future<Output = Result<Self, Infallible>> {
        ready(Ok(Self))
    }
}

impl Connect for Serial {
    type Socket<'c> = Self;
    type Error = Infallible;

    fn connect(&mut self, _: Remote<'_>) -> impl Future<Output = Result<Self, Infallible>> {
        ready(Ok(Self))
    }
}

/// Takes what has arrived, as far as there is room.
pub fn read_now(buf: &mut [u8]) -> usize {
    let mut count = 0;
    for place in buf {
        let Some(byte) = Uart::receive() else { break };
        *place = byte;
        count += 1;
    }
    count
}

/// Sends all of it.
pub fn write_now(bytes: &[u8]) {
    bytes.iter().copied().for_each(Uart::send);
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct Ticks;

impl Clock for Ticks {
    fn now(&self) -> Instant {
        Instant::from_millis(millis())
    }

    async fn wait_until(&self, deadline: Instant) {
        poll_fn(|_| if self.now() < deadline { Poll::Pending } else { Poll::Ready(()) }).await;
    }
}
