//! The socket that one request is answered over.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};
use tokio::time::{Sleep, sleep_until};
use wirelet_proto::{Config, OutputWatch};

use crate::time::Clock;
use crate::transport::Transport;

/// What the socket, hyper's service and whoever has begun the exchange share.
#[derive(Default)]
pub(crate) struct Exchange {
    /// All of the response is in hyper's hands.
    answered: AtomicBool,
    /// The connection belongs to whoever has upgraded it.
    upgraded: AtomicBool,
    /// The socket, given back for another request, with what was received behind this one.
    socket: Mutex<Option<(Transport, Bytes)>>,
}

impl Exchange {
    pub(crate) fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    pub(crate) fn upgrade(&self) {
        self.upgraded.store(true, Ordering::Relaxed);
    }

    pub(crate) fn take_socket(&self) -> Option<(Transport, Bytes)> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A socket from which one request can be read, and whose peer takes what is sent as fast as
/// [`Limits::stalled_time`](wirelet_proto::Limits::stalled_time) and [`Limits::slowest`](wirelet_proto::Limits::slowest) ask
/// for, or is given up.
///
/// When the response has been written it ends, so that hyper lets go of it, and is given back instead of being shut down.
pub(crate) struct HttpSocket {
    /// `None`: given back. It yields what is left of the request.
    stream: Option<Take<Transport>>,
    /// What was received of the request and has not been read.
    request: Bytes,
    /// What was received behind it.
    behind: Bytes,
    exchange: Arc<Exchange>,
    progress: Progress,
    /// Who reads behind the request.
    reader: Option<Waker>,
    config: Arc<Config>,
    clock: Clock,
    watch: OutputWatch,
    /// Ends at the watch's deadline, or before it. Made when a peer first lets the server wait.
    timer: Option<Pin<Box<Sleep>>>,
}

/// How far the exchange has come, as the socket sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Answering,
    /// All of the response was written.
    Written,
    /// hyper was told so, by the end of what it can read.
    Told,
}

impl HttpSocket {
    /// `received`: what was received, and how many bytes the request has.
    pub(crate) fn new(
        stream: Transport,
        (mut received, len): (Bytes, u64),
        exchange: Arc<Exchange>,
        config: Arc<Config>,
        clock: Clock,
    ) -> Self {
        let here = usize::try_from(len).unwrap_or(usize::MAX).min(received.len());
        let request = received.split_to(here);
        let stream = Some(stream.take(len.saturating_sub(here as u64)));
        let (behind, progress, watch) = (received, Progress::Answering, OutputWatch::new());
        Self { stream, request, behind, exchange, progress, reader: None, config, clock, watch, timer: None }
    }

    /// The socket, and what was received and has not been read: of a connection that was upgraded.
    pub(crate) fn into_parts(self) -> (Option<Transport>, Bytes) {
        let unread =
            if self.request.is_empty() { self.behind } else { [self.request, self.behind].concat().into() };
        (self.stream.map(Take::into_inner), unread)
    }

    /// Reads where the request has ended. hyper does so for two reasons: while it answers, to notice that the peer has gone, and when
    /// it has answered, for the next request. In both it is told the end.
    fn poll_behind(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.progress != Progress::Answering {
            self.progress = Progress::Told;
            return Poll::Ready(Ok(()));
        }
        self.reader = Some(cx.waker().clone());
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(())) };
        // The next request is for later.
        if self.behind.is_empty() { stream.get_mut().poll_end(&mut self.behind, cx) } else { Poll::Pending }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut Transport>> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Pin::new(stream.get_mut()))
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
        let this = &mut *self;
        if this.exchange.upgraded.load(Ordering::Relaxed)
            && let Some(stream) = &mut this.stream
            && stream.limit() < u64::MAX
        {
            stream.set_limit(u64::MAX);
            this.request = Bytes::from([&this.request[..], &this.behind].concat());
            this.behind.clear();
        }
        if !this.request.is_empty() {
            let len = this.request.len().min(buffer.remaining());
            buffer.put_slice(&this.request[..len]);
            this.request.advance(len);
            return Poll::Ready(Ok(()));
        }
        match &mut this.stream {
            Some(stream) if stream.limit() > 0 => Pin::new(stream).poll_read(cx, buffer),
            _ => this.poll_behind(cx),
        }
    }
}

impl AsyncWrite for HttpSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let poll = self.stream()?.poll_write(cx, data);
        self.watch(cx, data.len(), poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = self.stream()?.poll_write_vectored(cx, slices);
        let len = slices.iter().map(|slice| slice.len()).sum();
        self.watch(cx, len, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.get_ref().is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = self.stream()?.poll_flush(cx);
        // hyper flushes behind whatever it has written.
        if matches!(poll, Poll::Ready(Ok(())))
            && self.progress == Progress::Answering
            && self.exchange.answered.load(Ordering::Relaxed)
        {
            self.progress = Progress::Written;
            self.reader.take().into_iter().for_each(Waker::wake);
        }
        poll
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.progress == Progress::Told
            && let Some(stream) = this.stream.take_if(|stream| stream.limit() == 0 && this.request.is_empty())
        {
            let behind = std::mem::take(&mut this.behind);
            *this.exchange.socket.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((stream.into_inner(), behind));
            return Poll::Ready(Ok(()));
        }
        match &mut this.stream {
            Some(stream) => Pin::new(stream.get_mut()).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}
