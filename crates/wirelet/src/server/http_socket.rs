//! The socket that HTTP is spoken over.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until};
use wirelet_proto::{Config, OutputWatch};

use crate::time::Clock;

/// A socket with the bytes that were read from it already, whose peer takes what is sent as fast as
/// [`Limits::stalled_time`](wirelet_proto::Limits::stalled_time) and [`Limits::slowest`](wirelet_proto::Limits::slowest) ask
/// for, or is given up.
pub(crate) struct HttpSocket {
    stream: TcpStream,
    leftover: Bytes,
    config: Arc<Config>,
    clock: Clock,
    watch: OutputWatch,
    /// Ends at the watch's deadline, or before it. Made when a peer first lets the server wait.
    timer: Option<Pin<Box<Sleep>>>,
}

impl HttpSocket {
    pub(crate) const fn new(stream: TcpStream, leftover: Bytes, config: Arc<Config>, clock: Clock) -> Self {
        Self { stream, leftover, config, clock, watch: OutputWatch::new(), timer: None }
    }

    /// The socket, and what was read from it already.
    pub(crate) fn into_parts(self) -> (TcpStream, Bytes) {
        (self.stream, self.leftover)
    }

    /// Tells the watch what has become of writing `len` bytes.
    fn watch(
        &mut self,
        cx: &mut Context<'_>,
        len: usize,
        poll: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let left = match poll {
            Poll::Ready(Ok(left)) => left,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => 0,
        };
        self.watch.sent(left, len.saturating_sub(left), &self.config.limits, self.clock.now());
        if poll.is_pending() && self.poll_given_up(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        poll
    }

    fn poll_given_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limits = &self.config.limits;
        loop {
            if self.watch.expired(limits, self.clock.now()).is_some() {
                return Poll::Ready(());
            }
            let Some(deadline) = self.watch.poll_deadline(limits) else { return Poll::Pending };
            let deadline = self.clock.instant(deadline);
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if timer.is_elapsed() || deadline < timer.deadline() {
                timer.as_mut().reset(deadline);
            }
            // It may have been made for an earlier deadline: then it is looked at again.
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl AsyncRead for HttpSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.leftover.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let len = self.leftover.len().min(buffer.remaining());
        buffer.put_slice(&self.leftover[..len]);
        self.leftover.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HttpSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, data);
        self.watch(cx, data.len(), poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        let len = slices.iter().map(|slice| slice.len()).sum();
        self.watch(cx, len, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
