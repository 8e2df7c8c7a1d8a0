//! Sockets of embassy-net: two stacks, a wire with delay and loss between them, and a clock that moves when nobody can go on.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use embassy_net::tcp::TcpSocket;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{
    Config, ConfigV6, Ipv4Address, Ipv4Cidr, Ipv6Address, Ipv6Cidr, Runner, Stack, StackResources,
    StaticConfigV4, StaticConfigV6,
};
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_time::{Duration, Instant, MockDriver, Timer};
use embedded_io_async::{ErrorKind, Read as _, Write as _};
use wirelet_embedded::client::{Client, ClientResources, Finished, Options};
use wirelet_embedded::http::File;
use wirelet_embedded::net::{Connect as _, Listen as _, Remote, Socket as _};
use wirelet_embedded::proto::MaskKeys;
use wirelet_embedded::proto::handshake::Uri;
use wirelet_embedded::server::{Route, Server, Settings, WebSocketRoute};
use wirelet_embedded::{
    EmbassyClock, EmbassyConnector, EmbassyListener, EmbassySocket, Error, Resources, WebSocket,
};

/// One way between the stacks: packets, and when they arrive.
#[derive(Default)]
struct Way {
    packets: VecDeque<(Instant, Vec<u8>)>,
    waker: Option<Waker>,
}

/// One end of the wire.
#[derive(Clone)]
struct Port {
    rx: Rc<RefCell<Way>>,
    tx: Rc<RefCell<Way>>,
    address: u8,
    /// So many more packets with data are sent before one is lost.
    lost: Rc<RefCell<Option<usize>>>,
}

const DELAY: Duration = Duration::from_millis(5);
/// A packet that is larger has data.
const BARE: usize = 80;

struct Received(Vec<u8>);
struct Sending(Port);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, f: F) -> R {
        f(&mut self.0)
    }
}

impl TxToken for Sending {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        if len > BARE {
            let mut lost = self.0.lost.borrow_mut();
            let left = *lost;
            *lost = left.and_then(|left| left.checked_sub(1));
            if left == Some(0) {
                return result;
            }
        }
        let mut way = self.0.tx.borrow_mut();
        way.packets.push_back((Instant::now() + DELAY, packet));
        result
    }
}

impl Driver for Port {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received, Sending)> {
        let mut way = self.rx.borrow_mut();
        if way.packets.front().is_some_and(|(at, _)| *at <= Instant::now()) {
            let (_, packet) = way.packets.pop_front()?;
            return Some((Received(packet), Sending(self.clone())));
        }
        way.waker = Some(cx.waker().clone());
        None
    }

    fn transmit(&mut self, _: &mut Context<'_>) -> Option<Sending> {
        Some(Sending(self.clone()))
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = 1514;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet([2, 0, 0, 0, 0, self.address])
    }
}

/// Both stacks, and what runs them.
struct Pair {
    server: Stack<'static>,
    client: Stack<'static>,
    runners: [Runner<'static, Port>; 2],
}

fn stack(port: Port) -> (Stack<'static>, Runner<'static, Port>) {
    let address = Ipv4Cidr::new(Ipv4Address::new(10, 0, 0, port.address), 24);
    let mut dns_servers =
        StaticConfigV4 { address, gateway: None, dns_servers: Default::default() }.dns_servers;
    dns_servers.push(Ipv4Address::new(10, 0, 0, 1)).expect("there is room for one");
    let mut config = Config::ipv4_static(StaticConfigV4 { address, gateway: None, dns_servers });
    let address = Ipv6Cidr::new(Ipv6Address::new(0xfd00, 0, 0, 0, 0, 0, 0, port.address.into()), 64);
    config.ipv6 =
        ConfigV6::Static(StaticConfigV6 { address, gateway: None, dns_servers: Default::default() });
    let resources = Box::leak(Box::new(StackResources::<4>::new()));
    let seed = port.address.into();
    embassy_net::new(port, config, resources, seed)
}

/// `lost`: that packet with data of the server's is lost, counted from 0.
fn pair(lost: Option<usize>) -> Pair {
    let (there, back) = (Rc::<RefCell<Way>>::default(), Rc::<RefCell<Way>>::default());
    let lost = Rc::new(RefCell::new(lost));
    let (server, first) = stack(Port { rx: there.clone(), tx: back.clone(), address: 1, lost });
    let (client, second) = stack(Port { rx: back, tx: there, address: 2, lost: Rc::default() });
    Pair { server, client, runners: [first, second] }
}

/// The clock is everybody's: one test at a time.
fn clock() -> MutexGuard<'static, ()> {
    static CLOCK: Mutex<()> = Mutex::new(());
    CLOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `main` to its end beside `tasks`, for at most a minute of the clock, which moves by a millisecond after each round.
fn block_on<T>(main: impl Future<Output = T>, mut tasks: Vec<Pin<Box<dyn Future<Output = ()> + '_>>>) -> T {
    let mut main = pin!(main);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..60_000 {
        for task in &mut tasks {
            let _ = task.as_mut().poll(&mut cx);
        }
        if let Poll::Ready(output) = main.as_mut().poll(&mut cx) {
            return output;
        }
        MockDriver::get().advance(Duration::from_millis(1));
    }
    panic!("after a minute it is not over");
}

fn run(runners: [Runner<'static, Port>; 2]) -> Vec<Pin<Box<dyn Future<Output = ()>>>> {
    let tasks = runners.into_iter().map(|mut runner| -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(async move { runner.run().await })
    });
    tasks.collect()
}

static BODY: [u8; 8_000] = [b'x'; 8_000];

/// What a client receives of a page when a packet is lost, how the stream ended, and after how many milliseconds.
fn fetched(lost: Option<usize>, half_close: bool) -> (usize, bool, u64) {
    let _clock = clock();
    let Pair { server: stack, client, runners } = pair(lost);
    let routes = [Route::file("/", File::new(&BODY, "text/plain"))];
    let settings = Settings::new(&routes);
    let mut resources = Box::new(Resources::<1, 512, 512, 64>::new());
    let (server, _) = Server::new(&mut *resources, &settings);
    let [mut worker] = server.into_workers();
    let (mut rx, mut tx) = ([0; 2920], [0; 2920]);
    let mut listener = EmbassyListener::new(stack, 80, &mut rx, &mut tx, None);
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
    tasks.extend(run(runners).into_iter().map(|task| -> Pin<Box<dyn Future<Output = ()> + '_>> { task }));
    tasks.push(Box::pin(async { worker.run(&mut listener, &EmbassyClock).await }));
    let script = async {
        let (mut rx, mut tx) = ([0; 8192], [0; 2048]);
        let mut socket = TcpSocket::new(client, &mut rx, &mut tx);
        socket.connect((Ipv4Address::new(10, 0, 0, 1), 80)).await.unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n").await.unwrap();
        if half_close {
            socket.close();
        }
        let (mut buffer, mut total, start) = ([0; 1000], 0, Instant::now());
        loop {
            match socket.read(&mut buffer).await {
                Ok(0) => return (total, true, start.elapsed().as_millis()),
                Ok(n) => total += n,
                Err(_) => return (total, false, start.elapsed().as_millis()),
            }
        }
    };
    block_on(script, tasks)
}

/// The last packets of a response, and the end of the stream, were given 100 milliseconds to arrive when the client had ended its
/// own stream: one that was lost was never sent again, and nobody told the client.
#[test]
fn a_response_arrives_through_a_lost_packet_whoever_ends_first() {
    for half_close in [false, true] {
        let (whole, ended, _) = fetched(None, half_close);
        assert!(whole > BODY.len() && ended);
        for lost in 0..8 {
            let (total, ended, took) = fetched(Some(lost), half_close);
            assert!(
                total == whole && ended && took < 4_000,
                "packet {lost}, half close {half_close}: {total} bytes, {ended}, {took} ms"
            );
        }
    }
}

async fn greet(mut socket: EmbassySocket<'_, '_>) {
    let (_, mut writer) = socket.split();
    writer.write_all(b"welcome").await.expect("nobody resets it");
    std::future::pending().await
}

/// Accepts for `millis`, then drops the accept; then does it again without limit. Answers how long the client waited for its
/// greeting.
fn greeted(millis: u64) -> u64 {
    let _clock = clock();
    let Pair { server: stack, client, runners } = pair(None);
    let (mut rx, mut tx) = ([0; 512], [0; 512]);
    let mut listener = EmbassyListener::new(stack, 80, &mut rx, &mut tx, None);
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
    tasks.extend(run(runners).into_iter().map(|task| -> Pin<Box<dyn Future<Output = ()> + '_>> { task }));
    tasks.push(Box::pin(async move {
        {
            let mut accept = pin!(listener.accept());
            let mut alarm = pin!(Timer::after_millis(millis));
            let accepted = poll_fn(|cx| match accept.as_mut().poll(cx) {
                Poll::Ready(socket) => Poll::Ready(socket.ok()),
                Poll::Pending => alarm.as_mut().poll(cx).map(|()| None),
            });
            if let Some(socket) = accepted.await {
                return greet(socket).await;
            }
        }
        greet(listener.accept().await.expect("it listens")).await;
    }));
    let script = async {
        Timer::after_millis(20).await;
        let (mut rx, mut tx) = ([0; 512], [0; 512]);
        let mut socket = TcpSocket::new(client, &mut rx, &mut tx);
        let start = Instant::now();
        socket.connect((Ipv4Address::new(10, 0, 0, 1), 80)).await.expect("nobody resets it");
        let mut greeting = [0; 7];
        socket.read_exact(&mut greeting).await.expect("nobody resets it");
        start.elapsed().as_millis()
    };
    block_on(script, tasks)
}

/// An accept that was dropped while a client was in the middle of its handshake reset that client.
#[test]
fn a_dropped_accept_keeps_the_client_that_is_connecting() {
    for millis in 0..70 {
        let took = greeted(millis);
        assert!(took < 100, "dropped after {millis} ms: {took} ms");
    }
}

/// Predictable, which is good enough for a wire that nobody else is at.
struct Keys(u32);

impl MaskKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0.to_be_bytes()
    }
}

async fn echo(mut ws: WebSocket<'_>) -> Result<(), Error> {
    let mut buffer = [0; 512];
    while let Some(message) = ws.recv(&mut buffer).await? {
        Timer::after_millis(3).await; // a sensor that answers slowly
        ws.send(message).await?;
    }
    Ok(())
}

async fn ask(mut ws: WebSocket<'_>) -> Result<(), Error> {
    let mut buffer = [0; 512];
    for len in [0, 1, 125, 126, 300, 350] {
        let payload = vec![len as u8; len];
        ws.send(&payload[..]).await?;
        assert_eq!(ws.recv(&mut buffer).await?.map(|echoed| echoed.bytes().to_vec()), Some(payload));
    }
    // Many at once: more than all buffers and both windows hold.
    let (mut send, mut receive) = ws.split();
    let mut sending = pin!(async {
        for number in 0..100_u8 {
            send.send(&[number; 300]).await?;
        }
        Ok::<_, Error>(())
    });
    let mut receiving = pin!(async {
        for number in 0..100_u8 {
            let echoed = receive.recv(&mut buffer).await?.map(|echoed| echoed.bytes().to_vec());
            assert_eq!(echoed, Some([number; 300].to_vec()));
        }
        Ok::<_, Error>(())
    });
    let mut sent = false;
    poll_fn(|cx| {
        sent = sent || sending.as_mut().poll(cx).is_ready();
        receiving.as_mut().poll(cx)
    })
    .await
}

/// Both ends are async functions, in one task with their connection, over a wire that loses packets.
#[test]
fn functions_talk_over_a_wire_that_loses_packets() {
    for lost in [None, Some(0), Some(3), Some(20)] {
        let _clock = clock();
        let Pair { server: stack, client: device, runners } = pair(lost);
        let config = wirelet_embedded::proto::Config::new();
        let route = WebSocketRoute::pull(&config);
        let routes = [Route::websocket("/ws", &route)];
        let settings = Settings::new(&routes);
        let mut resources = Box::new(Resources::<1, 512, 512, 64>::new());
        let (server, _) = Server::new(&mut *resources, &settings);
        let [mut worker] = server.into_workers();
        let (mut rx, mut tx) = ([0; 1024], [0; 1024]);
        let mut listener = EmbassyListener::new(stack, 80, &mut rx, &mut tx, None);
        let mut tasks: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
        tasks.extend(run(runners).into_iter().map(|task| -> Pin<Box<dyn Future<Output = ()> + '_>> { task }));
        tasks.push(Box::pin(async { worker.run_with(&mut listener, &EmbassyClock, echo).await }));
        let (mut rx, mut tx) = ([0; 1024], [0; 1024]);
        let mut connector = EmbassyConnector::new(device, &mut rx, &mut tx, None);
        let options = Options::new(Uri::parse("ws://10.0.0.1/ws").unwrap());
        let mut resources = Box::new(ClientResources::<512, 512, 64>::new());
        let (mut client, _) = Client::new(&mut *resources, &options);
        let mut keys = Keys(1);
        let talk = client.run_with(&mut connector, &EmbassyClock, &mut keys, &(), ask);
        // The function returned without an error, and the peer agreed.
        let Finished::Ended(end) = block_on(talk, tasks) else { panic!("{lost:?}: it was not ended") };
        assert!(end.close.is_clean() && u16::from(end.close.code()) == 1000, "{lost:?}: {end:?}");
    }
}

/// Keepalive probed a peer that had vanished for ever, and the connection was never given up.
#[test]
fn a_peer_that_answers_no_probes_is_given_up() {
    let _clock = clock();
    let Pair { server: stack, client, runners: [server, mut vanishing] } = pair(None);
    let vanished = Cell::new(false);
    let (mut rx, mut tx) = ([0; 512], [0; 512]);
    let mut listener = EmbassyListener::new(stack, 80, &mut rx, &mut tx, Some(Duration::from_secs(2)));
    let (mut client_rx, mut client_tx) = ([0; 512], [0; 512]);
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
    let mut server = server;
    tasks.push(Box::pin(async move { server.run().await }));
    tasks.push(Box::pin(async {
        let mut running = pin!(vanishing.run());
        poll_fn(
            |cx| if vanished.get() { Poll::Pending } else { running.as_mut().poll(cx).map(|never| never) },
        )
        .await
    }));
    tasks.push(Box::pin(async {
        let mut socket = TcpSocket::new(client, &mut client_rx, &mut client_tx);
        socket.connect((Ipv4Address::new(10, 0, 0, 1), 80)).await.expect("nobody resets it");
        // The probes of half a minute are answered.
        Timer::after_secs(30).await;
        vanished.set(true);
        std::future::pending().await
    }));
    let script = async {
        let mut socket = listener.accept().await.expect("it listens");
        let (mut reader, _) = socket.split();
        let start = Instant::now();
        assert!(reader.read(&mut [0; 16]).await.is_err());
        start.elapsed().as_millis()
    };
    let took = block_on(script, tasks);
    assert!((36_000..=39_000).contains(&took), "given up after {took} ms");
}

/// Answers questions for any name with these addresses.
async fn name_server(stack: Stack<'static>, addresses: &[IpAddr]) {
    let (mut rx_meta, mut tx_meta) = ([PacketMetadata::EMPTY; 4], [PacketMetadata::EMPTY; 4]);
    let (mut rx, mut tx) = ([0; 1024], [0; 1024]);
    let mut socket = UdpSocket::new(stack, &mut rx_meta, &mut rx, &mut tx_meta, &mut tx);
    socket.bind(53).unwrap();
    let mut question = [0; 512];
    loop {
        let (len, from) = socket.recv_from(&mut question).await.unwrap();
        // RFC 1035 4.1: the head with the question again, which ends with its type and class, then an answer for each address.
        let mut answer = question[..len].to_vec();
        let wanted = answer[len - 3];
        let mut count = 0;
        for address in addresses {
            let (kind, bytes) = match address {
                IpAddr::V4(address) => (1, address.octets().to_vec()),
                IpAddr::V6(address) => (28, address.octets().to_vec()),
            };
            if kind == wanted {
                count += 1;
                answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, bytes.len() as u8]);
                answer.extend(bytes);
            }
        }
        answer[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, count]);
        socket.send_to(&answer, from).await.unwrap();
    }
}

/// Connects to a host, where a name has these addresses, of which those that end with 1 are at home, and listens or not: the outcome,
/// and after how many milliseconds.
fn connected(host: &str, addresses: &[&str], listens: bool) -> (Result<(), ErrorKind>, u64) {
    let _clock = clock();
    let Pair { server: stack, client, runners } = pair(None);
    let addresses: Vec<_> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let (mut rx, mut tx) = ([0; 512], [0; 512]);
    let mut listener = EmbassyListener::new(stack, 80, &mut rx, &mut tx, None);
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
    tasks.extend(run(runners).into_iter().map(|task| -> Pin<Box<dyn Future<Output = ()> + '_>> { task }));
    tasks.push(Box::pin(name_server(stack, &addresses)));
    if listens {
        tasks.push(Box::pin(async {
            let _socket = listener.accept().await;
            std::future::pending().await
        }));
    }
    let (mut client_rx, mut client_tx) = ([0; 512], [0; 512]);
    let mut connector = EmbassyConnector::new(client, &mut client_rx, &mut client_tx, None);
    let script = async {
        Timer::after_millis(20).await;
        let start = Instant::now();
        let remote = Remote { host, port: 80, secure: false };
        let outcome = connector.connect(remote).await.map(drop);
        (outcome, start.elapsed().as_millis())
    };
    block_on(script, tasks)
}

/// Only the first address of a name was tried.
#[test]
fn all_addresses_of_a_name_are_tried() {
    let (name, home, empty) = ("device.example", "10.0.0.1", "10.0.0.99");
    let (outcome, took) = connected(name, &[home], true);
    assert!(outcome.is_ok() && took < 100, "{outcome:?} after {took} ms");
    // Nobody is at the first ones.
    let (outcome, took) = connected(name, &[empty, empty, empty, home], true);
    assert!(outcome.is_ok() && (9_000..9_500).contains(&took), "{outcome:?} after {took} ms");
    // An address that answers that it refuses is not waited for.
    let (outcome, took) = connected(name, &[home, home], false);
    assert!(outcome == Err(ErrorKind::ConnectionRefused) && took < 500, "{outcome:?} after {took} ms");
    let (outcome, _) = connected(name, &[], true);
    assert_eq!(outcome, Err(ErrorKind::AddrNotAvailable));
}

/// Only IPv4 was spoken.
#[test]
fn ipv6_is_spoken() {
    let (outcome, took) = connected("fd00::1", &[], true);
    assert!(outcome.is_ok() && took < 100, "{outcome:?} after {took} ms");
    let (outcome, took) = connected("device.example", &["fd00::99", "fd00::1"], true);
    assert!(outcome.is_ok() && (3_000..3_500).contains(&took), "{outcome:?} after {took} ms");
    let (outcome, took) = connected("device.example", &["10.0.0.99", "fd00::1"], true);
    assert!(outcome.is_ok() && (3_000..3_500).contains(&took), "{outcome:?} after {took} ms");
}
