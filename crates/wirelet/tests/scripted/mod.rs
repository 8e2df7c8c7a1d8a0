//! What the regression tests share: a stream that does what a test says, tasks that are polled by hand, and peers that read
//! slowly.

#![allow(dead_code, unreachable_pub)]

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// A stream of which the test is the other end.
pub struct Scripted(Arc<Mutex<State>>);

/// The test's side of a [`Scripted`] stream.
#[derive(Clone)]
pub struct Script(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    input: VecDeque<u8>,
    /// What follows the input: the end of the stream, or an error.
    after_input: Option<Result<(), ErrorKind>>,
    /// How many bytes may still be written.
    room: usize,
    write_error: Option<ErrorKind>,
    output: Vec<u8>,
    /// Bytes that were read in all.
    read: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// A stream that takes `room` bytes and has nothing to read yet.
pub fn scripted(room: usize) -> (Scripted, Script) {
    let state = Arc::new(Mutex::new(State { room, ..State::default() }));
    (Scripted(Arc::clone(&state)), Script(state))
}

impl Script {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// `bytes` arrive.
    pub fn say(&self, bytes: &[u8]) {
        let mut state = self.lock();
        state.input.extend(bytes);
        state.reader.take().into_iter().for_each(Waker::wake);
    }

    /// Nothing arrives behind what has arrived.
    pub fn end(&self) {
        let mut state = self.lock();
        state.after_input = Some(Ok(()));
        state.reader.take().into_iter().for_each(Waker::wake);
    }

    /// `bytes` arrive, and the peer has reset the connection behind them: all writes fail.
    pub fn say_and_reset(&self, bytes: &[u8]) {
        let mut state = self.lock();
        state.input.extend(bytes);
        state.after_input = Some(Err(ErrorKind::ConnectionReset));
        state.write_error = Some(ErrorKind::BrokenPipe);
        state.reader.take().into_iter().chain(state.writer.take()).for_each(Waker::wake);
    }

    /// The peer takes `bytes` more.
    pub fn take(&self, bytes: usize) {
        let mut state = self.lock();
        state.room += bytes;
        state.writer.take().into_iter().for_each(Waker::wake);
    }

    /// What was written so far.
    pub fn output(&self) -> Vec<u8> {
        self.lock().output.clone()
    }

    /// How many bytes were written so far.
    pub fn written(&self) -> usize {
        self.lock().output.len()
    }

    /// How many bytes were read so far.
    pub fn read(&self) -> usize {
        self.lock().read
    }

    /// Whether everything that has arrived was read.
    pub fn is_drained(&self) -> bool {
        self.lock().input.is_empty()
    }
}

impl AsyncRead for Scripted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.0.lock().unwrap();
        if state.input.is_empty() {
            let Some(end) = state.after_input else {
                state.reader = Some(cx.waker().clone());
                return Poll::Pending;
            };
            return Poll::Ready(end.map_err(io::Error::from));
        }
        let n = state.input.len().min(buffer.remaining());
        for slice in <[&[u8]; 2]>::from(state.input.as_slices()) {
            buffer.put_slice(&slice[..slice.len().min(buffer.remaining())]);
        }
        state.input.drain(..n);
        state.read += n;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock().unwrap();
        if let Some(error) = state.write_error {
            return Poll::Ready(Err(error.into()));
        }
        let n = state.room.min(data.len());
        if n == 0 && !data.is_empty() {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.output.extend(&data[..n]);
        state.room -= n;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A future that is polled by hand.
pub struct Task<F: Future> {
    future: Pin<Box<F>>,
    wakes: Arc<Wakes>,
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl<F: Future> Task<F> {
    pub fn new(future: F) -> Self {
        // The first poll is asked for.
        Self { future: Box::pin(future), wakes: Arc::new(Wakes(AtomicUsize::new(1))) }
    }

    /// One poll.
    pub fn poll(&mut self) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    /// Whether it is woken, now or by what the runtime has put off.
    pub async fn is_woken(&self) -> bool {
        for _ in 0..3 {
            if self.wakes.0.swap(0, Ordering::Relaxed) > 0 {
                return true;
            }
            tokio::task::yield_now().await;
        }
        false
    }

    /// Polls it as often as it is woken; the number of polls, `most` at most, and its output.
    pub async fn run(&mut self, most: usize) -> (usize, Poll<F::Output>) {
        let mut polls = 0;
        while polls < most && self.is_woken().await {
            polls += 1;
            let poll = self.poll();
            if poll.is_ready() {
                return (polls, poll);
            }
        }
        (polls, Poll::Pending)
    }
}

/// Fails when `future` is polled more than `most` times: it wakes itself without progress.
pub async fn within_polls<F: Future>(most: usize, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut polls = 0;
    std::future::poll_fn(|cx| {
        polls += 1;
        assert!(polls <= most, "more than {most} polls: it wakes itself without progress");
        future.as_mut().poll(cx)
    })
    .await
}

/// Reads `total` bytes, `piece` at a time, so that `rate` bytes a second are taken.
pub async fn read_slowly<S: AsyncRead + Unpin>(
    stream: &mut S,
    total: usize,
    piece: usize,
    rate: u64,
) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut buffer = vec![0; piece];
    while all.len() < total {
        let n = stream.read(&mut buffer[..piece.min(total - all.len())]).await?;
        if n == 0 {
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                format!("the end after {} bytes", all.len()),
            ));
        }
        all.extend(&buffer[..n]);
        tokio::time::sleep(Duration::from_micros(1_000_000 * n as u64 / rate)).await;
    }
    Ok(all)
}

/// The frames of a server that are whole in `bytes`: first bytes and payloads.
pub fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let (len, rest) = match second {
            126 if rest.len() >= 2 => (u64::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 if rest.len() >= 8 => (u64::from_be_bytes(*rest.first_chunk().unwrap()), &rest[8..]),
            126 | 127 => break,
            len => (u64::from(*len), rest),
        };
        let Some((payload, behind)) = rest.split_at_checked(len as usize) else { break };
        frames.push((*first, payload.to_vec()));
        bytes = behind;
    }
    frames
}
