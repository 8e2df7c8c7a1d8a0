//! What a hostile peer may cost, and that nobody else notices. On a real server, with every allocation counted.

#![allow(unsafe_code)]

#[allow(dead_code, reason = "not all of it is used here")]
mod counting;
mod peer;

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use counting::{LIVE, PEAK};
use peer::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, MutexGuard};
use wirelet::server::{Context, Router, Server, ServerHandle, ws};
use wirelet::{Error, Limits, SlowReceiver, TrySendError, WebSocket};

/// One attack at a time: they measure the memory of the process.
static ONE: Mutex<()> = Mutex::const_new(());

/// A hang is an error; far more than any machine needs.
const GUARD: Duration = Duration::from_secs(300);

async fn echo(mut ws: WebSocket, _: Context) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        ws.send(message).await?;
    }
    Ok(())
}

struct Target {
    address: SocketAddr,
    handle: ServerHandle,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
    before: isize,
    _one: MutexGuard<'static, ()>,
}

impl Target {
    async fn new() -> Self {
        let one = ONE.lock().await;
        let flood = ws(|mut ws: WebSocket, _| async move {
            loop {
                ws.send(vec![0; 50_000]).await?;
            }
            #[allow(unreachable_code)]
            Ok::<_, Error>(())
        });
        let quiet = ws(|mut ws: WebSocket, _| async move { while let Ok(Some(_)) = ws.recv().await {} });
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let (address, handle) = (server.local_addr().unwrap(), server.handle());
        let router = Router::new().ws("/ws", ws(echo)).ws("/flood", flood).ws("/quiet", quiet);
        let task = tokio::spawn(server.serve(router));
        let before = LIVE.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        Self { address, handle, task, before, _one: one }
    }

    async fn open(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(upgrade_request(path, "").as_bytes()).await.unwrap();
        assert!(read_head(&mut stream).await.unwrap().starts_with("HTTP/1.1 101 "));
        stream
    }

    /// 100 echoes on another connection.
    async fn others_are_served(&self) {
        let mut other = self.open("/ws").await;
        for n in 0..100 {
            let text = format!("echo {n}").into_bytes();
            write(&mut other, &client_frame(TEXT, &text)).await;
            assert_eq!(read_frame(&mut other).await.unwrap(), (TEXT, text));
        }
    }

    /// The most memory that was in use since the beginning, bytes.
    fn peak(&self) -> isize {
        PEAK.load(Ordering::Relaxed) - self.before
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn guarded(test: impl Future<Output = ()>) {
    tokio::time::timeout(GUARD, test).await.expect("the test hangs");
}

#[tokio::test]
async fn a_peer_that_never_reads_costs_the_high_water_and_one_message() {
    guarded(async {
        let target = Target::new().await;
        let deaf = target.open("/flood").await;
        let mut talker = target.open("/ws").await;
        // An echo whose answers are not read stops being read itself.
        let frame = client_frame(BINARY, &[1; 60_000]);
        for _ in 0..1000 {
            let sending = async { talker.write_all(&frame).await.unwrap() };
            if tokio::time::timeout(Duration::from_millis(300), sending).await.is_err() {
                break;
            }
        }
        target.others_are_served().await;
        assert!(target.peak() < 2_000_000, "{}", target.peak());
        drop((deaf, talker));
    })
    .await;
}

#[tokio::test]
async fn the_queue_of_a_peer_that_never_reads_is_bounded_and_the_policy_fires() {
    guarded(async {
        let target = Target::new().await;
        let mut deaf = target.open("/quiet").await;
        let id = target.handle.connections()[0].id;
        let sender = target.handle.sender(id).unwrap();
        let message = wirelet::Message::binary(vec![7; 10_000]);
        let mut refused = 0;
        for _ in 0..100_000 {
            if let Err(TrySendError::Full(back)) = sender.try_send(message.clone()) {
                assert_eq!(back, message);
                refused += 1;
                if refused > 100 {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        assert!(refused > 100);
        assert!(sender.queued() <= Limits::new().queued);
        let newest = sender.clone().with_policy(SlowReceiver::DropNewest);
        newest.try_send("dropped").unwrap();
        let oldest = sender.clone().with_policy(SlowReceiver::DropOldest);
        oldest.try_send("kept").unwrap();
        assert!(sender.queued() <= Limits::new().queued);
        target.others_are_served().await;
        assert!(target.peak() < 3_000_000, "{}", target.peak());
        let close = sender.clone().with_policy(SlowReceiver::Close);
        while close.try_send(message.clone()).is_ok() {}
        assert!(sender.is_closed());
        loop {
            let (first, payload) = read_frame(&mut deaf).await.unwrap();
            if first == CLOSE {
                assert_eq!(payload, close_payload(1013));
                break;
            }
            assert_eq!((first, payload.len()), (BINARY, 10_000));
        }
    })
    .await;
}

#[tokio::test]
async fn ping_floods_of_a_peer_that_never_reads_are_bounded() {
    guarded(async {
        let target = Target::new().await;
        let mut deaf = target.open("/quiet").await;
        let pings = client_frame(PING, &[9; 125]).repeat(500);
        for _ in 0..1000 {
            let sending = async { deaf.write_all(&pings).await.unwrap() };
            if tokio::time::timeout(Duration::from_millis(300), sending).await.is_err() {
                break;
            }
        }
        target.others_are_served().await;
        assert!(target.peak() < 2_000_000, "{}", target.peak());
    })
    .await;
}

#[tokio::test]
async fn what_is_only_announced_costs_nothing() {
    guarded(async {
        let target = Target::new().await;
        // The largest length there is, one with the top bit, one byte over the limit: refused by their header.
        for (len, code) in [((1 << 63) - 1, 1009), (1 << 63, 1002), ((1 << 20) + 1, 1009)] {
            let mut stream = target.open("/ws").await;
            let len: u64 = len;
            let head = [&[BINARY, 0xff][..], &len.to_be_bytes(), &[1, 2, 3, 4]].concat();
            write(&mut stream, &head).await;
            assert_eq!(read_frame(&mut stream).await.unwrap(), (CLOSE, close_payload(code).to_vec()));
        }
        // As many as the limit allows are announced, with a few bytes each.
        let mut streams = Vec::new();
        for _ in 0..200 {
            let mut stream = target.open("/ws").await;
            let head = [&[BINARY, 0xff][..], &(1_u64 << 20).to_be_bytes(), &[1, 2, 3, 4], &[0; 100]].concat();
            write(&mut stream, &head).await;
            streams.push(stream);
        }
        target.others_are_served().await;
        assert!(target.peak() < 200 * 8_000 + 1_000_000, "{}", target.peak());
    })
    .await;
}

#[tokio::test]
async fn a_million_empty_fragments_end_in_1008_within_constant_memory() {
    guarded(async {
        let target = Target::new().await;
        let mut stream = target.open("/ws").await;
        let (mut read, mut write) = stream.split();
        let sending = async {
            let begin = client_frame(0x01, b"");
            write.write_all(&begin).await.unwrap();
            let many = [client_frame(0x00, b"").repeat(999), client_frame(PING, b"x")].concat();
            for _ in 0..1000 {
                if write.write_all(&many).await.is_err() {
                    break;
                }
            }
        };
        let receiving = async {
            let mut pongs = 0;
            loop {
                match read_frame(&mut read).await.unwrap() {
                    (PONG, _) => pongs += 1,
                    end => return (pongs, end),
                }
            }
        };
        let (_, (pongs, end)) = tokio::join!(sending, receiving);
        assert_eq!(end, (CLOSE, close_payload(1008).to_vec()));
        // 131,072 fragments are allowed; pings between them are answered.
        assert_eq!(pongs, 131);
        target.others_are_served().await;
        assert!(target.peak() < 2_000_000, "{}", target.peak());
    })
    .await;
}

#[tokio::test]
async fn two_thousand_headers_get_431() {
    guarded(async {
        let target = Target::new().await;
        let mut stream = TcpStream::connect(target.address).await.unwrap();
        let request = upgrade_request("/ws", &"X-Header: 1\r\n".repeat(2000));
        let _ = stream.write_all(request.as_bytes()).await;
        assert_eq!(read_response(&mut stream).await.unwrap().0, 431);
        target.others_are_served().await;
        assert!(target.peak() < 1_000_000, "{}", target.peak());
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_sends_byte_by_byte_holds_little() {
    guarded(async {
        let target = Target::new().await;
        let mut streams = Vec::new();
        for _ in 0..200 {
            streams.push(target.open("/ws").await);
        }
        let frame = client_frame(TEXT, &[b'x'; 5000]);
        for byte in &frame[..300] {
            for stream in &mut streams {
                stream.write_all(&[*byte]).await.unwrap();
            }
            tokio::task::yield_now().await;
        }
        target.others_are_served().await;
        // 300 bytes of each message have come; the clients' sockets count too.
        assert!(target.peak() < 200 * 6_000 + 1_000_000, "{}", target.peak());
        for stream in &mut streams {
            stream.write_all(&frame[300..]).await.unwrap();
            assert_eq!(read_frame(stream).await.unwrap().1.len(), 5000);
        }
    })
    .await;
}

#[tokio::test]
async fn a_thousand_handlers_that_keep_a_small_message_pin_a_bounded_number_of_blocks() {
    guarded(async {
        let one = ONE.lock().await;
        let keep = ws(|mut ws: WebSocket, _| async move {
            let kept = ws.recv().await?;
            ws.send("kept").await?;
            let next = ws.recv().await?;
            assert_eq!(kept, Some("twenty bytes of text".into()));
            drop(next);
            Ok::<_, Error>(())
        });
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let task = tokio::spawn(server.serve(Router::new().ws("/keep", keep)));
        let before = LIVE.load(Ordering::Relaxed);
        let mut streams = Vec::new();
        for _ in 0..1000 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(upgrade_request("/keep", "").as_bytes()).await.unwrap();
            assert!(read_head(&mut stream).await.unwrap().starts_with("HTTP/1.1 101 "));
            write(&mut stream, &client_frame(TEXT, b"twenty bytes of text")).await;
            assert_eq!(read_frame(&mut stream).await.unwrap().1, b"kept");
            streams.push(stream);
        }
        let live = LIVE.load(Ordering::Relaxed) - before;
        let pool = wirelet::diagnostics::pool();
        assert!(pool.pinned <= 64 && pool.lent == 0, "{pool:?}");
        assert!(live < 1000 * 4_000 + 90 * 70_000, "{live} bytes");
        for stream in &mut streams {
            write(stream, &client_frame(TEXT, b"go")).await;
            let mut rest = [0; 4];
            stream.read_exact(&mut rest).await.unwrap();
            assert_eq!(rest, [CLOSE, 2, 3, 0xe8]);
        }
        task.abort();
        drop(one);
    })
    .await;
}
