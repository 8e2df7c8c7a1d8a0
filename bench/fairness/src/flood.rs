//! The peers that flood.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout_at};

use crate::blocks;
use crate::processes::{Failure, Taken};

/// The largest message that the defaults allow, bytes.
const LARGEST: usize = 1 << 20;

/// How long sockets fill before anything is counted.
pub(crate) const WARM_UP: Duration = Duration::from_secs(1);

/// A flood.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// How the server compresses.
    pub(crate) mode: &'static str,
    /// Makes a piece of what is sent again and again, and says how many messages or control frames are in it.
    piece: fn() -> (Vec<u8>, u64),
}

pub(crate) const KINDS: &[Kind] = &[
    Kind { name: "tiny messages", mode: "off", piece: || many(&frame(BINARY, b"x")) },
    Kind { name: "empty messages", mode: "off", piece: || many(&frame(BINARY, b"")) },
    Kind { name: "echoes of 1 MiB", mode: "off", piece: || (frame(BINARY, &vec![9; LARGEST]), 1) },
    Kind { name: "empty fragments", mode: "off", piece: || fragments(b"") },
    Kind { name: "fragments of 1 byte", mode: "off", piece: || fragments(b"y") },
    Kind { name: "empty pings", mode: "off", piece: || many(&frame(PING, b"")) },
    Kind { name: "pings of 125 bytes", mode: "off", piece: || many(&frame(PING, &[7; 125])) },
    Kind { name: "empty pongs", mode: "off", piece: || many(&frame(PONG, b"")) },
    Kind { name: "bombs of 1 MiB, shared", mode: "shared", piece: bombs },
    Kind { name: "bombs of 1 MiB, windowed", mode: "windowed", piece: bombs },
    Kind { name: "bombs of 1 MiB, dedicated", mode: "dedicated", piece: bombs },
    Kind {
        name: "empty dynamic blocks, shared",
        mode: "shared",
        piece: || compressed(blocks::empty_dynamic),
    },
    Kind {
        name: "heavy dynamic blocks, shared",
        mode: "shared",
        piece: || compressed(blocks::heavy_dynamic),
    },
    Kind { name: "empty final streams, shared", mode: "shared", piece: || compressed(blocks::empty_final) },
    Kind { name: "empty stored blocks, shared", mode: "shared", piece: || compressed(blocks::empty_stored) },
    Kind {
        name: "empty dynamic blocks, dedicated",
        mode: "dedicated",
        piece: || compressed(blocks::empty_dynamic),
    },
    Kind {
        name: "heavy dynamic blocks, dedicated",
        mode: "dedicated",
        piece: || compressed(blocks::heavy_dynamic),
    },
    Kind {
        name: "empty final streams, dedicated",
        mode: "dedicated",
        piece: || compressed(blocks::empty_final),
    },
    Kind {
        name: "empty stored blocks, dedicated",
        mode: "dedicated",
        piece: || compressed(blocks::empty_stored),
    },
];

const BINARY: u8 = 0x82;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// RSV1: the message is compressed.
const COMPRESSED: u8 = 0x40;

/// A frame as a client sends it, masked.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ ..126 => frame.push(0x80 | len as u8),
        len @ ..65_536 => {
            frame.push(0x80 | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    let key = [0x12, 0x34, 0x56, 0x78];
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// 64 KiB of the same frame.
fn many(frame: &[u8]) -> (Vec<u8>, u64) {
    let count = (64 * 1024_usize).div_ceil(frame.len());
    (frame.repeat(count), count as u64)
}

/// Messages of 1,000 fragments.
fn fragments(payload: &[u8]) -> (Vec<u8>, u64) {
    let mut message = frame(0x02, payload);
    message.extend(frame(0x00, payload).repeat(998));
    message.extend(frame(0x80, payload));
    (message.repeat(10), 10)
}

fn bombs() -> (Vec<u8>, u64) {
    (frame(BINARY | COMPRESSED, &blocks::bomb(LARGEST)).repeat(60), 60)
}

fn compressed(make: blocks::Make) -> (Vec<u8>, u64) {
    (frame(BINARY | COMPRESSED, &make(LARGEST)), 1)
}

/// What all peers together have done.
#[derive(Default)]
struct Count {
    /// Bytes that their sockets have taken.
    sent: AtomicU64,
    ended: AtomicU64,
}

/// Floods for so many seconds, and prints what has been taken from the second one on.
pub(crate) fn run(kind: &str, address: &str, peers: &str, seconds: &str) -> Result<(), Failure> {
    let wrong = || Failure("flood KIND ADDRESS PEERS SECONDS".to_owned());
    let kind = KINDS.iter().find(|one| one.name == kind).ok_or_else(wrong)?;
    let address: SocketAddr = address.parse().map_err(|_| wrong())?;
    let peers: usize = peers.parse().map_err(|_| wrong())?;
    let time = Duration::from_secs_f64(seconds.parse().map_err(|_| wrong())?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure(format!("flood: {error}")))?;
    let (piece, messages) = (kind.piece)();
    let len = piece.len() as f64;
    let (taken, ended, counted) = runtime.block_on(flood(piece.into(), kind.mode, address, peers, time));
    let taken = Taken {
        bytes: taken as f64 / counted.as_secs_f64(),
        messages: taken as f64 / len * messages as f64 / counted.as_secs_f64(),
        ended,
    };
    println!("{}", taken.line());
    Ok(())
}

async fn flood(
    piece: Arc<[u8]>,
    mode: &'static str,
    address: SocketAddr,
    peers: usize,
    time: Duration,
) -> (u64, u64, Duration) {
    let count = Arc::new(Count::default());
    let until = Instant::now() + time;
    for n in 0..peers {
        let (piece, count) = (Arc::clone(&piece), Arc::clone(&count));
        tokio::spawn(async move {
            while Instant::now() < until {
                // Where the server ends a connection there is another one.
                let _ = timeout_at(until, peer(&piece, mode, address, n, &count)).await;
                count.ended.fetch_add(u64::from(Instant::now() < until), Relaxed);
                sleep(Duration::from_millis(5)).await;
            }
        });
    }
    sleep(WARM_UP).await;
    let taken = || count.sent.load(Relaxed).saturating_sub(in_sockets(address.port()));
    let (began, before) = (Instant::now(), taken());
    tokio::time::sleep_until(until).await;
    (taken().saturating_sub(before), count.ended.load(Relaxed), began.elapsed())
}

/// Bytes that are on their way to a port here: in the socket of one end or the other, and in no program. From the system's list,
/// where there is one.
fn in_sockets(port: u16) -> u64 {
    let list = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let bytes = list.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, remote, _, queues, ..] = fields[..] else { return None };
        let (unacknowledged, unread) = queues.split_once(':')?;
        let ends_here = |end: &str| end.split_once(':').is_some_and(|(_, hex)| hex == format!("{port:04X}"));
        let from_hex = |text| u64::from_str_radix(text, 16).ok();
        // The listener's numbers are something else; it has no remote port.
        if remote.ends_with(":0000") {
            None
        } else if ends_here(local) {
            from_hex(unread)
        } else if ends_here(remote) {
            from_hex(unacknowledged)
        } else {
            None
        }
    });
    bytes.sum()
}

/// One connection: sends without end and reads all that comes.
async fn peer(piece: &[u8], mode: &str, address: SocketAddr, n: usize, count: &Count) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 1 + (n / 200) as u8, 2 + (n % 200) as u8), 0).into())?;
    let mut stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    open(&mut stream, mode != "off").await?;
    let (mut reader, mut writer) = stream.into_split();
    let reading = async {
        let mut buffer = vec![0; 64 * 1024];
        while reader.read(&mut buffer).await? > 0 {}
        Ok(())
    };
    let writing = async {
        let mut at = 0;
        loop {
            let n = writer.write(&piece[at..]).await?;
            count.sent.fetch_add(n as u64, Relaxed);
            at = (at + n) % piece.len();
        }
    };
    // Both in turns; either ends it.
    let (mut reading, mut writing) = (std::pin::pin!(reading), std::pin::pin!(writing));
    std::future::poll_fn(|cx| {
        let read = reading.as_mut().poll(cx);
        if read.is_ready() { read } else { writing.as_mut().poll(cx) }
    })
    .await
}

/// The opening handshake.
async fn open(stream: &mut TcpStream, compressed: bool) -> io::Result<()> {
    stream.write_all(request(compressed).as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if !head.starts_with(b"HTTP/1.1 101") {
        return Err(io::Error::other(String::from_utf8_lossy(&head).into_owned()));
    }
    Ok(())
}

pub(crate) fn request(compressed: bool) -> String {
    let more = if compressed { "Sec-WebSocket-Extensions: permessage-deflate\r\n" } else { "" };
    format!(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}
