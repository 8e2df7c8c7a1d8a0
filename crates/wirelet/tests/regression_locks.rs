//! Nothing of the application runs while a lock of a connection is held: its payloads, streams and wakers may come back to the
//! connection when they are dropped or woken. Each of these hung.

mod peer;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use peer::*;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use wirelet::{Bytes, CloseCode, Config, Role, Sender, WebSocket};

/// Only a test that fails waits as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// What comes back to a connection, and how often it has.
#[derive(Clone, Default)]
struct Caller(Arc<Called>);

#[derive(Default)]
struct Called {
    sender: OnceLock<Sender>,
    count: AtomicUsize,
}

impl Caller {
    fn of(ws: &WebSocket) -> Self {
        let caller = Self::default();
        let _ = caller.0.sender.set(ws.sender());
        caller
    }

    /// Takes each lock that there is.
    fn call(&self) {
        if let Some(sender) = self.0.sender.get() {
            let _ = (sender.queued(), sender.try_send("from within"), sender.close(CloseCode::NORMAL, ""));
            self.0.count.fetch_add(1, SeqCst);
        }
    }

    fn payload(&self, len: usize) -> Bytes {
        Bytes::from_owner(Payload(vec![7; len], self.clone()))
    }

    fn waker(&self) -> Waker {
        Arc::new(Waking(self.clone())).into()
    }
}

/// Calls when it is dropped.
struct Payload(Vec<u8>, Caller);

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.1.call();
    }
}

/// Calls when it is woken, and when it is dropped.
struct Waking(Caller);

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        self.0.call();
    }
}

impl Drop for Waking {
    fn drop(&mut self) {
        self.0.call();
    }
}

/// Calls when it is dropped. It wakes whoever reads, at once, when it is `eager`.
struct Stream {
    inner: DuplexStream,
    caller: Caller,
    eager: bool,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.caller.call();
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.eager) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

fn over(capacity: usize) -> (WebSocket, DuplexStream, Caller) {
    let mut config = Config::new();
    config.limits.queued = 1000;
    let (ws, far) = server_over_pipe(config, capacity);
    let caller = Caller::of(&ws);
    (ws, far, caller)
}

fn over_stream(eager: bool) -> (WebSocket, DuplexStream, Caller) {
    let (inner, far) = tokio::io::duplex(1000);
    let caller = Caller::default();
    let stream = Stream { inner, caller: caller.clone(), eager };
    let ws = WebSocket::from_upgraded(stream, Role::Server, Arc::new(Config::new()), &[]);
    let _ = caller.0.sender.set(ws.sender());
    (ws, far, caller)
}

/// Runs `test` in a thread with a runtime of its own: it ends, and something of the application has come back.
fn comes_back<F, Fut>(test: F)
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Caller>,
{
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _ = tell.send(runtime.block_on(test()).0.count.load(SeqCst));
    });
    let count = told.recv_timeout(PATIENCE).expect("it hangs, or has panicked");
    assert!(count > 0, "nothing came back");
}

#[test]
fn a_payload_that_was_written_ended_under_the_lock() {
    comes_back(|| async {
        let (mut ws, _far, caller) = over(1 << 20);
        ws.send(caller.payload(100_000)).await.unwrap();
        caller
    });
}

#[test]
fn a_payload_that_was_copied_ended_under_the_lock() {
    comes_back(|| async {
        let (mut ws, _far, caller) = over(1 << 20);
        ws.feed(caller.payload(10)).await.unwrap();
        caller
    });
}

#[test]
fn a_payload_of_a_sender_ended_under_the_lock() {
    comes_back(|| async {
        let (mut ws, _far, caller) = over(1 << 20);
        ws.sender().try_send(caller.payload(10)).unwrap();
        let _ = ws.flush().await;
        caller
    });
}

#[test]
fn payloads_of_a_connection_that_is_lost_ended_under_the_lock() {
    // Among what is to be written, and in the queue.
    for first in [true, false] {
        comes_back(move || async move {
            let (mut ws, far, caller) = over(100);
            let payload = |here: bool, len| if here { caller.payload(len) } else { vec![0; len].into() };
            ws.feed(payload(first, 100_000)).await.unwrap();
            ws.sender().try_send(payload(!first, 10)).unwrap();
            drop(far);
            assert!(ws.recv().await.is_err());
            caller
        });
    }
}

#[test]
fn a_stream_ended_under_the_lock() {
    comes_back(|| async {
        let (mut ws, far, caller) = over_stream(false);
        drop(far);
        assert!(ws.recv().await.is_err());
        caller
    });
}

#[test]
fn a_sender_was_woken_for_room_under_the_lock() {
    comes_back(|| async {
        let (mut ws, _far, caller) = over(1 << 20);
        let sender = ws.sender();
        sender.try_send(vec![0; 900]).unwrap();
        let mut waiting = pin!(sender.send(vec![0; 900]));
        let waker = caller.waker();
        assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let before = caller.0.count.load(SeqCst);
        let _ = ws.flush().await;
        assert!(caller.0.count.load(SeqCst) > before, "it was not woken");
        caller
    });
}

#[test]
fn a_waker_that_was_replaced_ended_under_the_lock() {
    comes_back(|| async {
        let (mut ws, _far, caller) = over(1000);
        let mut receiving = pin!(ws.recv());
        let waker = caller.waker();
        assert!(receiving.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        poll_fn(|cx| Poll::Ready(receiving.as_mut().poll(cx).is_pending())).await;
        caller
    });
}

#[test]
fn a_stream_woke_the_receiver_under_the_lock() {
    comes_back(|| async {
        let (mut ws, _far, caller) = over_stream(true);
        let waker = caller.waker();
        let keep = Mutex::new(waker.clone());
        assert!(pin!(ws.recv()).poll(&mut Context::from_waker(&waker)).is_pending());
        let count = caller.0.count.load(SeqCst);
        assert!(count > 0, "it was not woken");
        drop(keep);
        caller
    });
}
