//! Compressed connections of both roles, in lanes of a pool.

use std::boxed::Box;
use std::cell::Cell;
use std::string::String;
use std::vec;
use std::vec::Vec;

use wirelet_deflate::{Deflater, Inflater};
use wirelet_proto::deflate::{Params, Window};
use wirelet_proto::handshake::Uri;
use wirelet_proto::{
    Codec as _, CodecError, Compressor as _, Config, Delivery, Event, Flush, Keepalive, Limits,
};

use super::support::*;
use crate::client::{Client, ClientHandler, ClientResources, Options, Sender};
use crate::compression::{Pool, encoder};
use crate::server::{Route, Server, Settings, WebSocketRoute};
use crate::{Cause, ConnectionId, End, Handler, Message, Peer, Resources};

/// One lane with windows of 1 KiB both ways and 512 bytes of room.
type Small = Pool<1024, 512, { encoder(10) }, 1>;

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
const QUIET: Config = Config { keepalive: Keepalive::off(), ..Config::new() };
const CHUNKS: Config = Config { delivery: Delivery::Chunks, ..QUIET };

#[derive(Default)]
struct Echo(std::sync::Mutex<Vec<Cause>>);

impl Handler for Echo {
    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
        match event {
            Event::Text(text) => peer.send(text).unwrap(),
            Event::Binary(bytes) => peer.send(bytes).unwrap(),
            Event::Chunk(chunk) => peer.send_fragment(chunk.kind, chunk.data, chunk.last).unwrap(),
            _ => {}
        }
    }

    fn on_close(&self, _: ConnectionId, end: &End) {
        self.0.lock().unwrap().push(end.cause);
    }
}

/// Runs `script` beside a server of three workers with one lane.
fn with_lane(config: &Config, capacity: usize, script: impl AsyncFnOnce(Rig<'_>, &Small, &Echo)) {
    let echo = Echo::default();
    let route = WebSocketRoute::new(&echo, config);
    let routes = [Route::websocket("/ws", &route)];
    let settings = Settings::new(&routes);
    let pool = Box::new(Small::new());
    let (clock, net) = (ManualClock::default(), Net::new(capacity));
    let mut resources = Box::new(Resources::<4, 512, 1024, 128>::new());
    let (server, handle) = Server::new(&mut *resources, &settings);
    let mut workers = server.with_compression(pool.compression()).into_workers();
    let tasks: Vec<Task<'_>> = workers
        .iter_mut()
        .map(|worker| -> Task<'_> {
            let (mut listener, clock) = (net.clone(), &clock);
            Box::pin(async move { worker.run(&mut listener, clock).await })
        })
        .collect();
    let script = async { script(Rig { clock: &clock, net, handle }, &pool, &echo).await };
    block_on(&clock, script, tasks);
}

/// What the other end of a compressed connection needs.
struct Zip {
    deflater: Deflater<Vec<u8>>,
    inflater: Inflater<Vec<u8>>,
}

impl Zip {
    fn new() -> Self {
        let window = Window::kept(10);
        Self {
            deflater: Deflater::new(vec![0; encoder(10)], window).unwrap(),
            inflater: Inflater::new(vec![0; 1024], window).unwrap(),
        }
    }

    fn pack(&mut self, mut data: &[u8], flush: Flush) -> Vec<u8> {
        let (mut packed, mut room) = (Vec::new(), [0; 100]);
        loop {
            let progress = self.deflater.compress(data, &mut room, flush);
            packed.extend(&room[..progress.produced]);
            data = &data[progress.consumed..];
            if progress.done {
                return packed;
            }
        }
    }

    fn unpack(&mut self, mut data: &[u8], last: bool) -> Result<Vec<u8>, CodecError> {
        let (mut whole, mut room) = (Vec::new(), [0; 100]);
        loop {
            let progress = self.inflater.decompress(data, &mut room, last)?;
            whole.extend(&room[..progress.produced]);
            data = &data[progress.consumed..];
            if progress.done {
                return Ok(whole);
            }
        }
    }

    /// The next message of a server, decompressed if need be; whether it was compressed.
    async fn receive(&mut self, peer: &mut Dialed) -> (Vec<u8>, bool) {
        let (mut whole, mut compressed) = (Vec::new(), None);
        loop {
            let (first, payload) = peer.frame().await;
            let compressed = *compressed.get_or_insert(first & 0x40 != 0);
            let fin = first & 0x80 != 0;
            whole.extend(if compressed { self.unpack(&payload, fin).unwrap() } else { payload });
            if fin {
                return (whole, compressed);
            }
        }
    }
}

fn line(n: usize) -> String {
    std::format!(
        r#"{{"sensor":"boiler","n":{n},"temperature":{}.{},"humidity":{},"state":"heating","uptime":{}}}"#,
        20 + n % 7,
        n % 10,
        40 + n % 13,
        n * 1000
    )
}

#[test]
fn messages_come_and_go_compressed_whole_and_in_chunks() {
    for config in [QUIET, CHUNKS] {
        for capacity in [1, 7, 4096] {
            with_lane(&config, capacity, async |rig, pool, _| {
                let (mut peer, mut zip) = (rig.net.dial(), Zip::new());
                let head = peer.upgrade("/ws", OFFER).await;
                let answer = "permessage-deflate; server_max_window_bits=10; client_max_window_bits=10";
                assert!(head.contains(&std::format!("Sec-WebSocket-Extensions: {answer}\r\n")), "{head}");
                assert_eq!(pool.free(), 0);
                let mut wire = 0;
                for n in 0..20 {
                    let packed = zip.pack(line(n).as_bytes(), Flush::Message);
                    wire += packed.len();
                    peer.send(masked(0xc1, packed)).await;
                    let (echo, compressed) = zip.receive(&mut peer).await;
                    assert_eq!((String::from_utf8(echo).unwrap(), compressed), (line(n), true));
                    // Uncompressed ones in between, and what is too small to be compressed.
                    peer.send(masked(0x81, "short")).await;
                    let (short, compressed) = zip.receive(&mut peer).await;
                    // A fragment may be the first of many.
                    assert_eq!(
                        (&short[..], compressed && config.delivery == Delivery::Messages),
                        (&b"short"[..], false)
                    );
                }
                assert!(wire * 2 < 20 * line(10).len(), "{wire}");
            });
        }
    }
}

#[test]
fn fragments_and_control_frames_between_them() {
    with_lane(&CHUNKS, 64, async |rig, _, _| {
        let (mut peer, mut zip) = (rig.net.dial(), Zip::new());
        peer.upgrade("/ws", OFFER).await;
        let text: String = (0..100).map(line).collect();
        let whole = text.as_bytes();
        let script = async {
            // 10 KB through 512 bytes: sent and received at the same time.
            let first = zip.pack(&whole[..3000], Flush::Fragment);
            let second = zip.pack(&whole[3000..6000], Flush::None);
            let third = zip.pack(&whole[6000..], Flush::Message);
            let frames = [masked(0x41, first), masked(0x89, "?"), masked(0, second), masked(0x80, third)];
            let (mut reader, mut writer) = crate::net::Socket::split(&mut peer.wire);
            let mut received = Vec::new();
            let send = async {
                for frame in frames {
                    embedded_io_async::Write::write_all(&mut writer, &frame).await.unwrap();
                }
            };
            let receive = async {
                let mut echo = Vec::new();
                let mut in_message = true;
                while in_message {
                    let mut buffer = [0; 64];
                    let n = embedded_io_async::Read::read(&mut reader, &mut buffer).await.unwrap();
                    received.extend(&buffer[..n]);
                    while let Some((first, payload, len)) = complete(&received) {
                        if first & 0x0f == 10 {
                            assert_eq!(payload, b"?");
                        } else {
                            in_message = first & 0x80 == 0;
                            echo.extend(zip.unpack(&payload, !in_message).unwrap());
                        }
                        received.drain(..len);
                    }
                }
                echo
            };
            Box::pin(both(send, receive)).await.1
        };
        assert!(Box::pin(script).await == whole);
    });
}

/// The first frame of a server in `bytes`, if it is complete: first byte, payload, length of all.
fn complete(bytes: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (len, header) = match *bytes.get(1)? {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        len => (usize::from(len), 2),
    };
    Some((bytes[0], bytes.get(header..header + len)?.to_vec(), header + len))
}

#[test]
fn who_comes_when_all_lanes_are_lent_talks_uncompressed_and_lanes_come_back() {
    with_lane(&QUIET, 512, async |rig, pool, _| {
        let (mut first, mut second) = (rig.net.dial(), rig.net.dial());
        assert!(first.upgrade("/ws", OFFER).await.contains("permessage-deflate"));
        assert!(!second.upgrade("/ws", OFFER).await.contains("permessage-deflate"));
        second.send(masked(0x81, line(1))).await;
        assert_eq!(second.frame().await, (0x81, line(1).into_bytes()));
        // A reserved bit without agreement.
        second.send(masked(0xc1, "\0")).await;
        assert_eq!(second.frame().await, (0x88, 1002_u16.to_be_bytes().to_vec()));
        first.send(masked(0x88, "")).await;
        assert_eq!(first.frame().await.0, 0x88);
        first.finish().await;
        first.rest().await;
        rig.clock.sleep(1).await;
        assert_eq!(pool.free(), 1);
        let mut third = rig.net.dial();
        assert!(third.upgrade("/ws", OFFER).await.contains("permessage-deflate"));
        drop(third);
        rig.clock.sleep(1).await;
        assert_eq!(pool.free(), 1, "of a connection that is lost");
        // Who does not offer it, or only what cannot be met, needs none.
        let mut fourth = rig.net.dial();
        let head = fourth.upgrade("/ws", "Sec-WebSocket-Extensions: permessage-deflate\r\n").await;
        assert!(!head.contains("permessage-deflate"), "32 KiB of window are not there");
        assert_eq!(pool.free(), 1);
    });
}

#[test]
fn what_others_send_is_compressed() {
    with_lane(&QUIET, 512, async |rig, _, _| {
        let (mut peer, mut zip) = (rig.net.dial(), Zip::new());
        peer.upgrade("/ws", OFFER).await;
        let text = "to everybody, to everybody, to everybody, to everybody, to everybody";
        assert_eq!(rig.handle.broadcast(Message::Text(text), |_| true).sent, 1);
        assert_eq!(zip.receive(&mut peer).await, (text.as_bytes().to_vec(), true));
    });
}

#[test]
fn bombs_and_corrupt_data_end_with_the_right_code() {
    let limited = |delivery| Config {
        delivery,
        limits: Limits { message: 5000, ..Limits::new() },
        keepalive: Keepalive::off(),
    };
    let zeros = Zip::new().pack(&[0; 100_000], Flush::Message);
    assert!(zeros.len() < 1000);
    let stored = [[0, 0, 0, 0xff, 0xff].repeat(80), vec![0]].concat();
    for (delivery, payload, code) in [
        (Delivery::Messages, &zeros[..], 1009_u16),
        (Delivery::Chunks, &zeros[..], 1009),
        (Delivery::Messages, &[0x07, 1, 2, 3], 1007),
        (Delivery::Chunks, &[0x07, 1, 2, 3], 1007),
        (Delivery::Messages, &stored, 1000),
    ] {
        with_lane(&limited(delivery), 4096, async |rig, pool, echo| {
            let mut peer = rig.net.dial();
            peer.upgrade("/ws", OFFER).await;
            peer.send(masked(0xc2, payload)).await;
            if code == 1000 {
                assert_eq!(peer.message().await.1, b"", "nothing, compressed in many blocks");
                peer.send(masked(0x88, 1000_u16.to_be_bytes())).await;
            }
            let close = loop {
                let (first, payload) = peer.frame().await;
                if first == 0x88 {
                    break payload;
                }
            };
            assert_eq!(close, code.to_be_bytes(), "{delivery:?}");
            peer.finish().await;
            peer.rest().await;
            rig.clock.sleep(1).await;
            assert_eq!(pool.free(), 1);
            assert_eq!(matches!(echo.0.lock().unwrap()[..], [Cause::Closed]), code == 1000);
        });
    }
}

/// The other driver failed these with 1007.
#[test]
fn a_message_may_end_between_two_blocks() {
    for config in [QUIET, CHUNKS] {
        with_lane(&config, 4096, async |rig, _, _| {
            let mut peer = rig.net.dial();
            peer.upgrade("/ws", OFFER).await;
            let mut zip = Zip::new();
            for _ in 0..2 {
                for (payload, text) in testkit::vectors::BETWEEN_BLOCKS {
                    peer.send(masked(0xc1, payload)).await;
                    assert_eq!(zip.receive(&mut peer).await.0, text.as_bytes(), "{payload:x?}");
                }
            }
        });
    }
}

/// Sends lines when it is open, and counts what comes back.
#[derive(Default)]
struct Chatter(Cell<usize>, Cell<Option<Params>>);

impl Handler for Chatter {
    fn on_open(&self, peer: &mut Peer<'_>) {
        self.1.set(peer.deflate());
        peer.send(line(0).as_str()).unwrap();
    }

    fn on_event(&self, peer: &mut Peer<'_>, event: Event<'_>) {
        let Event::Text(text) = event else { return };
        assert_eq!(text, line(self.0.get()));
        self.0.set(self.0.get() + 1);
        if self.0.get() < 50 {
            peer.send(line(self.0.get()).as_str()).unwrap();
        } else {
            let _ = peer.close(wirelet_proto::CloseCode::NORMAL, "");
        }
    }
}

impl ClientHandler for Chatter {}

#[test]
fn client_and_server_agree_and_talk() {
    for (client_lanes, expected) in
        [(1, Some(Params { server: Window::kept(9), client: Window::kept(9) })), (0, None)]
    {
        with_lane(&QUIET, 64, async |rig, pool, _| {
            let options = Options { config: QUIET, ..Options::new(Uri::parse("ws://device/ws").unwrap()) };
            let mut resources = Box::new(ClientResources::<512, 1024, 64>::new());
            let own = Box::new(Pool::<512, 512, { encoder(9) }, 1>::new());
            let taken = (client_lanes == 0).then(|| own.compression().reserve());
            let (client, _sender): (_, Sender<'_>) = Client::new(&mut *resources, &options);
            let mut client = client.with_compression(own.compression());
            let (chatter, mut network, mut keys) =
                (Chatter::default(), rig.net.clone(), testkit::random::Keys::new(3));
            Box::pin(client.run(&mut network, rig.clock, &mut keys, &chatter)).await;
            assert_eq!((chatter.0.get(), chatter.1.get()), (50, expected));
            drop(taken);
            assert_eq!(own.free(), 1);
            rig.clock.sleep(10_000).await;
            assert_eq!(pool.free(), 1);
        });
    }
}

/// Notes, once the connection is open, how many lanes are free.
struct Watcher<'p>(&'p Small, Cell<Option<usize>>);

impl Handler for Watcher<'_> {
    fn on_open(&self, peer: &mut Peer<'_>) {
        self.1.set(Some(self.0.free()));
        let _ = peer.close(wirelet_proto::CloseCode::NORMAL, "");
    }

    fn on_event(&self, _: &mut Peer<'_>, _: Event<'_>) {}
}

impl ClientHandler for Watcher<'_> {}

#[test]
fn a_client_kept_a_lane_for_a_server_that_had_declined() {
    with_lane(&QUIET, 64, async |rig, pool, _| {
        let taken = pool.compression().reserve();
        let options = Options { config: QUIET, ..Options::new(Uri::parse("ws://device/ws").unwrap()) };
        let mut resources = Box::new(ClientResources::<512, 1024, 64>::new());
        let own = Box::new(Small::new());
        let (client, _sender): (_, Sender<'_>) = Client::new(&mut *resources, &options);
        let mut client = client.with_compression(own.compression());
        let watcher = Watcher(&own, Cell::new(None));
        let (mut network, mut keys) = (rig.net.clone(), testkit::random::Keys::new(3));
        Box::pin(client.run(&mut network, rig.clock, &mut keys, &watcher)).await;
        assert_eq!(watcher.1.get(), Some(1));
        drop(taken);
    });
}

#[test]
fn memory_is_what_the_documentation_says() {
    let size = size_of::<Pool<512, 1024, { encoder(9) }, 1>>();
    std::println!("a lane with windows of 9 bits and 1 KiB of room: {size} bytes");
    assert!(size <= 16 * 1024 + 256, "{size}");
}

/// A fragment that fits as it is, but not when it can't be compressed, was accepted, and disappeared from the middle of its message;
/// when it was the last one, nothing was sent ever again.
#[test]
fn a_fragment_that_was_accepted_arrives() {
    use wirelet_proto::MessageKind;
    let echo = Echo::default();
    let route = WebSocketRoute::new(&echo, &QUIET);
    let routes = [Route::websocket("/ws", &route)];
    let settings = Settings::new(&routes);
    let pool = Box::new(Small::new());
    let (clock, net) = (ManualClock::default(), Net::new(64));
    let mut resources = Box::new(Resources::<1, 512, 512, 600>::new());
    let (server, handle) = Server::new(&mut *resources, &settings);
    let [mut worker] = server.with_compression(pool.compression()).into_workers();
    let mut listener = net.clone();
    let run: Task<'_> = Box::pin(async { worker.run(&mut listener, &clock).await });
    let script = async {
        let mut peer = net.dial();
        peer.upgrade("/ws", OFFER).await;
        let id = handle.connections().next().unwrap().id;
        let mut inflater = Inflater::new(vec![0; 1024], Window::kept(10)).unwrap();
        let mut rng = testkit::random::Rng::new(5);
        for round in 0..10 {
            let mut fragments = handle.fragments(id, MessageKind::Binary).unwrap();
            let largest = fragments.largest();
            assert!(largest < handle.largest_message());
            // What can't be compressed, and is larger than it was afterwards.
            let pieces = [100, largest, [100, largest][round % 2]].map(|len| rng.bytes(len).to_vec());
            assert_eq!(fragments.try_send(&vec![0; largest + 1], false), Err(crate::SendReason::TooLong));
            let send = async {
                for (piece, fin) in pieces.iter().zip([false, false, true]) {
                    while let Err(reason) = fragments.try_send(piece, fin) {
                        assert_eq!(reason, crate::SendReason::Full);
                        clock.sleep(1).await;
                    }
                }
                while handle.try_send(id, "a next message").is_err() {
                    clock.sleep(1).await;
                }
            };
            let receive = async {
                let mut received = Vec::new();
                for first in [0x42, 0x00, 0x80] {
                    let (byte, payload) = peer.frame().await;
                    assert_eq!(byte, first);
                    received.extend(inflated(&mut inflater, &payload, byte & 0x80 != 0));
                }
                assert!(received == pieces.concat(), "round {round}");
                assert_eq!(peer.frame().await, (0x81, b"a next message".to_vec()));
            };
            Box::pin(both(send, receive)).await;
        }
    };
    block_on(&clock, script, [run].into());
}

fn inflated(inflater: &mut Inflater<Vec<u8>>, mut data: &[u8], last: bool) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let mut room = [0; 100];
        let progress = inflater.decompress(data, &mut room, last).unwrap();
        out.extend(&room[..progress.produced]);
        data = &data[progress.consumed..];
        if progress.done {
            return out;
        }
    }
}

/// A client that waited for its next attempt kept its lane, so that nobody else of the device was compressed.
#[test]
fn a_client_that_waits_gives_its_lane_back() {
    struct Quiet;
    impl Handler for Quiet {
        fn on_event(&self, _: &mut Peer<'_>, _: Event<'_>) {}
    }
    impl ClientHandler for Quiet {}
    let (clock, net) = (ManualClock::default(), Net::new(512));
    let pool = Box::new(Pool::<512, 512, { encoder(9) }, 1>::new());
    let options = Options::new(Uri::parse("ws://device/ws").unwrap());
    let mut resources = Box::new(ClientResources::<512, 1024, 64>::new());
    let (client, sender) = Client::new(&mut *resources, &options);
    let mut client = client.with_compression(pool.compression());
    let (mut network, mut keys) = (net.clone(), testkit::random::Keys::new(3));
    let run = client.run(&mut network, &clock, &mut keys, &Quiet);
    let script = async {
        use crate::net::Listen as _;
        let mut listener = net.clone();
        for answer in ["HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "SSH-2.0\r\n\r\n", "HTTP/1.1 10"] {
            let Ok(wire) = listener.accept().await;
            let mut peer = Dialed::new(wire);
            peer.head().await;
            assert_eq!(pool.free(), 0);
            peer.send(answer).await;
            drop(peer);
            clock.sleep(1).await;
            assert_eq!(pool.free(), 1, "{answer}");
        }
        sender.stop();
    };
    block_on(&clock, both(run, script), Vec::new());
}
