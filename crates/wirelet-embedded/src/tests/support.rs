//! A network of tiny pipes, a clock that moves when everybody waits, and an executor that notices when nobody can go on.

use core::cell::{Cell, RefCell};
use core::convert::Infallible;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::boxed::Box;
use std::collections::VecDeque;
use std::rc::Rc;
use std::string::String;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;
use std::vec::Vec;

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use wirelet_proto::Instant;

use crate::net::{Connect, Listen, Remote, Socket};
use crate::server::{Server, Settings, Worker};
use crate::{Clock, Handle, Resources};

/// A clock that moves only when everybody waits.
#[derive(Default)]
pub(crate) struct ManualClock {
    pub(super) now: Cell<u64>,
    alarms: RefCell<Vec<(u64, Waker)>>,
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        Instant::from_millis(self.now.get())
    }

    async fn wait_until(&self, deadline: Instant) {
        poll_fn(|cx| {
            if self.now() >= deadline {
                return Poll::Ready(());
            }
            self.alarms.borrow_mut().push((deadline.as_millis(), cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl ManualClock {
    pub(crate) async fn sleep(&self, millis: u64) {
        self.wait_until(self.now().plus(Duration::from_millis(millis))).await;
    }

    /// Moves to the next alarm; false when there is none.
    fn advance(&self) -> bool {
        let mut alarms = self.alarms.borrow_mut();
        let Some(next) = alarms.iter().map(|(at, _)| *at).min() else { return false };
        self.now.set(self.now.get().max(next));
        let now = self.now.get();
        alarms.retain(|(at, waker)| {
            if *at <= now {
                waker.wake_by_ref();
            }
            *at > now
        });
        true
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(crate) type Task<'t> = Pin<Box<dyn Future<Output = ()> + 't>>;

/// Runs `main` to its end beside `tasks`; panics when nobody can go on any more.
pub(crate) fn block_on<T>(clock: &ManualClock, main: impl Future<Output = T>, mut tasks: Vec<Task<'_>>) -> T {
    let mut main = pin!(main);
    let flags: Vec<_> = (0..=tasks.len()).map(|_| Arc::new(Flag(AtomicBool::new(true)))).collect();
    let mut done: Vec<bool> = tasks.iter().map(|_| false).collect();
    for _ in 0..10_000_000 {
        let mut rested = true;
        if flags[0].0.swap(false, Ordering::Relaxed) {
            rested = false;
            let waker = Waker::from(flags[0].clone());
            if let Poll::Ready(output) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                return output;
            }
        }
        for (at, task) in tasks.iter_mut().enumerate() {
            if !done[at] && flags[at + 1].0.swap(false, Ordering::Relaxed) {
                rested = false;
                let waker = Waker::from(flags[at + 1].clone());
                done[at] = task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
            }
        }
        assert!(!rested || clock.advance(), "everybody waits, and no alarm is set");
    }
    panic!("no end in sight");
}

/// Both at the same time.
pub(crate) async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(output) = a.as_mut().poll(cx)
        {
            first = Some(output);
        }
        if second.is_none()
            && let Poll::Ready(output) = b.as_mut().poll(cx)
        {
            second = Some(output);
        }
        if first.is_some() && second.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (first.unwrap(), second.unwrap())
}

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    capacity: usize,
    /// The writer has ended the stream.
    ended: bool,
    /// One end is gone.
    broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

/// One end of a connection.
pub(crate) struct Wire {
    inbound: Rc<RefCell<Pipe>>,
    outbound: Rc<RefCell<Pipe>>,
}

/// Two ends of a connection whose pipes hold so many bytes.
pub(crate) fn wire(capacity: usize) -> (Wire, Wire) {
    let pipe = || Rc::new(RefCell::new(Pipe { capacity, ..Pipe::default() }));
    let (there, back) = (pipe(), pipe());
    (Wire { inbound: back.clone(), outbound: there.clone() }, Wire { inbound: there, outbound: back })
}

impl Wire {
    /// Whether the other end is gone.
    pub(crate) fn is_broken(&self) -> bool {
        self.inbound.borrow().broken
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for pipe in [&self.inbound, &self.outbound] {
            let mut pipe = pipe.borrow_mut();
            pipe.broken = true;
            pipe.wake();
        }
    }
}

pub(crate) struct Half(Rc<RefCell<Pipe>>);

impl ErrorType for Half {
    type Error = ErrorKind;
}

impl Read for Half {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> {
        poll_fn(|cx| {
            let pipe = &mut *self.0.borrow_mut();
            if pipe.bytes.is_empty() && !into.is_empty() {
                return match (pipe.ended, pipe.broken) {
                    (true, _) => Poll::Ready(Ok(0)),
                    (_, true) => Poll::Ready(Err(ErrorKind::ConnectionReset)),
                    _ => {
                        pipe.reader = Some(cx.waker().clone());
                        Poll::Pending
                    }
                };
            }
            let len = into.len().min(pipe.bytes.len());
            pipe.bytes.drain(..len).zip(into.iter_mut()).for_each(|(byte, to)| *to = byte);
            pipe.wake();
            Poll::Ready(Ok(len))
        })
        .await
    }
}

impl Write for Half {
    async fn write(&mut self, from: &[u8]) -> Result<usize, ErrorKind> {
        poll_fn(|cx| {
            let pipe = &mut *self.0.borrow_mut();
            if pipe.broken || pipe.ended {
                return Poll::Ready(Err(ErrorKind::BrokenPipe));
            }
            let len = from.len().min(pipe.capacity - pipe.bytes.len());
            if len == 0 && !from.is_empty() {
                pipe.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            pipe.bytes.extend(&from[..len]);
            pipe.wake();
            Poll::Ready(Ok(len))
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl Socket for Wire {
    type Error = ErrorKind;
    type Reader<'s> = Half;
    type Writer<'s> = Half;

    fn split(&mut self) -> (Half, Half) {
        (Half(self.inbound.clone()), Half(self.outbound.clone()))
    }

    fn peer(&self) -> Option<SocketAddr> {
        Some(SocketAddr::from(([192, 0, 2, 1], 1234)))
    }

    async fn shutdown(&mut self) -> Result<(), ErrorKind> {
        let mut pipe = self.outbound.borrow_mut();
        pipe.ended = true;
        pipe.wake();
        Ok(())
    }
}

/// Where connections are opened and accepted.
#[derive(Clone)]
pub(crate) struct Net(Rc<RefCell<Waiting>>, usize);

#[derive(Default)]
struct Waiting {
    wires: VecDeque<Wire>,
    acceptors: Vec<Waker>,
    refuse: bool,
    /// Where clients have connected to.
    remotes: Vec<String>,
    /// Every connection that is left.
    pipes: Vec<std::rc::Weak<RefCell<Pipe>>>,
}

impl Net {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Rc::default(), capacity)
    }

    pub(crate) fn dial(&self) -> Dialed {
        let (here, there) = wire(self.1);
        let mut waiting = self.0.borrow_mut();
        waiting.pipes.retain(|pipe| pipe.strong_count() > 0);
        waiting.pipes.push(Rc::downgrade(&here.inbound));
        waiting.wires.push_back(there);
        waiting.acceptors.drain(..).for_each(Waker::wake);
        Dialed { wire: here, received: Vec::new() }
    }

    /// Connections that nobody has accepted.
    pub(crate) fn waiting(&self) -> usize {
        self.0.borrow().wires.len()
    }

    /// Breaks the connections that nobody has accepted.
    pub(crate) fn refuse_waiting(&self) {
        self.0.borrow_mut().wires.clear();
    }

    /// Connections of which an end is left.
    pub(crate) fn open(&self) -> usize {
        self.0.borrow().pipes.iter().filter(|pipe| pipe.strong_count() > 0).count()
    }

    /// Where clients have connected to since this was asked last.
    pub(crate) fn remotes(&self) -> Vec<String> {
        core::mem::take(&mut self.0.borrow_mut().remotes)
    }

    pub(crate) fn refuse(&self, refuse: bool) {
        self.0.borrow_mut().refuse = refuse;
    }
}

impl Listen for Net {
    type Socket<'l> = Wire;
    type Error = Infallible;

    async fn accept(&mut self) -> Result<Wire, Infallible> {
        poll_fn(|cx| {
            let mut waiting = self.0.borrow_mut();
            if let Some(wire) = waiting.wires.pop_front() {
                return Poll::Ready(Ok(wire));
            }
            waiting.acceptors.push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Connect for Net {
    type Socket<'c> = Wire;
    type Error = ErrorKind;

    async fn connect(&mut self, to: Remote<'_>) -> Result<Wire, ErrorKind> {
        let Remote { host, port, secure } = to;
        assert!(!secure);
        self.0.borrow_mut().remotes.push(std::format!("{host}:{port}"));
        if self.0.borrow().refuse {
            return Err(ErrorKind::ConnectionRefused);
        }
        let mut dialed = self.dial();
        let (spare, _) = wire(0);
        Ok(core::mem::replace(&mut dialed.wire, spare))
    }
}

/// A connection as a test uses it: raw bytes.
pub(crate) struct Dialed {
    pub(crate) wire: Wire,
    received: Vec<u8>,
}

impl Dialed {
    pub(crate) fn new(wire: Wire) -> Self {
        Self { wire, received: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let (_, mut writer) = self.wire.split();
        writer.write_all(bytes.as_ref()).await.expect("the peer takes bytes");
    }

    /// One byte after the other, with a rest after each.
    pub(crate) async fn trickle(&mut self, bytes: impl AsRef<[u8]>) {
        for byte in bytes.as_ref() {
            self.send([*byte]).await;
            crate::time::yield_now().await;
        }
    }

    pub(crate) async fn finish(&mut self) {
        self.wire.shutdown().await.unwrap();
    }

    async fn more(&mut self) -> bool {
        let mut buffer = [0; 64];
        let (mut reader, _) = self.wire.split();
        match reader.read(&mut buffer).await {
            Ok(0) | Err(_) => false,
            Ok(n) => {
                self.received.extend(&buffer[..n]);
                true
            }
        }
    }

    pub(crate) async fn take(&mut self, n: usize) -> Vec<u8> {
        while self.received.len() < n {
            assert!(self.more().await, "the stream ends after {:?}", self.received.escape_ascii());
        }
        self.received.drain(..n).collect()
    }

    /// Whether there is something to read now.
    pub(crate) fn pending(&self) -> bool {
        !self.received.is_empty() || !self.wire.inbound.borrow().bytes.is_empty()
    }

    /// All that comes until the end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        core::mem::take(&mut self.received)
    }

    /// A head, as text.
    pub(crate) async fn head(&mut self) -> String {
        loop {
            if let Some(at) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                return String::from_utf8(self.take(at + 4).await).unwrap();
            }
            assert!(self.more().await, "the stream ends in the head: {:?}", self.received.escape_ascii());
        }
    }

    /// A response with its body.
    pub(crate) async fn response(&mut self) -> (String, Vec<u8>) {
        let head = self.head().await;
        let len = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .map_or(0, |n| n.parse().unwrap());
        let body = self.take(len).await;
        (head, body)
    }

    pub(crate) async fn get(&mut self, target: &str, headers: &str) -> (String, Vec<u8>) {
        self.send(std::format!("GET {target} HTTP/1.1\r\nHost: device\r\n{headers}\r\n")).await;
        self.response().await
    }

    /// The opening handshake; answers the response's head.
    pub(crate) async fn upgrade(&mut self, target: &str, headers: &str) -> String {
        self.send(upgrade_request(target, headers)).await;
        let head = self.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
        head
    }

    /// A frame of a server: its first byte and its payload.
    pub(crate) async fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.take(2).await;
        let len = match head[1] {
            126 => usize::from(u16::from_be_bytes(self.take(2).await.try_into().unwrap())),
            127 => u64::from_be_bytes(self.take(8).await.try_into().unwrap()) as usize,
            len => usize::from(len),
        };
        (head[0], self.take(len).await)
    }

    /// The frames of a message, joined, and how many they were.
    pub(crate) async fn message(&mut self) -> (u8, Vec<u8>, usize) {
        let (first, mut payload) = self.frame().await;
        let (mut fin, mut frames) = (first & 0x80 != 0, 1);
        while !fin {
            let (next, more) = self.frame().await;
            assert_eq!(next & 0x0f, 0, "a continuation");
            payload.extend(more);
            fin = next & 0x80 != 0;
            frames += 1;
        }
        (first & 0x0f, payload, frames)
    }
}

pub(crate) fn upgrade_request(target: &str, headers: &str) -> String {
    std::format!(
        "GET {target} HTTP/1.1\r\nHost: device\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
}

/// A client's frame: the first byte as it is on the wire, the payload masked.
pub(crate) fn masked(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = unmasked(first, payload);
    frame[1] |= 0x80;
    let at = frame.len() - payload.len();
    frame.splice(at..at, key);
    frame[at + 4..].iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    frame
}

/// A server's frame.
pub(crate) fn unmasked(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut frame = std::vec![first];
    match payload.len() {
        len @ ..126 => frame.push(len as u8),
        len @ ..=0xffff => frame.extend([&[126][..], &(len as u16).to_be_bytes()].concat()),
        len => frame.extend([&[127][..], &(len as u64).to_be_bytes()].concat()),
    }
    frame.extend(payload);
    frame
}

/// What a test has in hand while a server runs.
pub(crate) struct Rig<'r> {
    pub(crate) clock: &'r ManualClock,
    pub(crate) net: Net,
    pub(crate) handle: Handle<'r>,
}

/// Runs `script` beside a server with pipes of `capacity` bytes.
pub(crate) fn serve<const N: usize, const RX: usize, const TX: usize, const QUEUE: usize>(
    settings: &Settings<'_>,
    capacity: usize,
    script: impl AsyncFnOnce(Rig<'_>),
) {
    serve_by::<N, RX, TX, QUEUE>(
        settings,
        capacity,
        async |worker, net, clock| worker.run(net, clock).await,
        script,
    );
}

/// The same with workers that are run by `run`.
pub(crate) fn serve_by<const N: usize, const RX: usize, const TX: usize, const QUEUE: usize>(
    settings: &Settings<'_>,
    capacity: usize,
    run: impl AsyncFn(&mut Worker<'_, '_, RX, TX>, &mut Net, &ManualClock),
    script: impl AsyncFnOnce(Rig<'_>),
) {
    let clock = ManualClock::default();
    let net = Net::new(capacity);
    let mut resources = Box::new(Resources::<N, RX, TX, QUEUE>::new());
    let (server, handle) = Server::new(&mut *resources, settings);
    let mut workers = server.into_workers();
    let tasks: Vec<Task<'_>> = workers
        .iter_mut()
        .map(|worker| -> Task<'_> {
            let (mut listener, clock, run) = (net.clone(), &clock, &run);
            Box::pin(async move { run(worker, &mut listener, clock).await })
        })
        .collect();
    block_on(&clock, script(Rig { clock: &clock, net, handle }), tasks);
}
