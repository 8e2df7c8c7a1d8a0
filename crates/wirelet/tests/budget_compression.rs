//! What compression costs: no allocation for a message in steady state, and nothing for a connection that waits but the note
//! of what was agreed on.

#![cfg(feature = "deflate")]

mod hostile;
mod zlib;

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use hostile::memory::Zone;
use hostile::*;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinSet;
use wirelet::proto::deflate::Params;
use wirelet::proto::{Extensions, Upgraded};
use wirelet::{Compression, Config, Error, Keepalive, Role, WebSocket};

/// About a kilobyte of JSON.
fn json(n: usize) -> Vec<u8> {
    let item = |m: usize| {
        format!(
            "{{\"sensor\":\"s{}\",\"value\":{}.{},\"unit\":\"C\"}},",
            m % 5,
            (n * 7919 + m * 31) % 97,
            m % 10
        )
    };
    (0..26).map(item).collect::<String>().into_bytes()
}

/// Reads a compressed text, into `room`. With context takeover its length is not always the same.
fn read_answer(peer: &mut Peer, room: &mut [u8]) {
    let mut header = [0; 2];
    peer.stream.read_exact(&mut header).unwrap();
    assert_eq!(header[0], TEXT | 0x40);
    let mut len = usize::from(header[1]);
    if len == 126 {
        peer.stream.read_exact(&mut header).unwrap();
        len = usize::from(u16::from_be_bytes(header));
    }
    peer.stream.read_exact(&mut room[..len]).unwrap();
}

/// Not one in 10,000 echoes, after some that fill the pool and make the thread's compressor.
#[test]
fn a_compressed_echo_in_steady_state_allocates_nothing() {
    for compression in [
        Compression::shared(),
        Compression::windowed(1024),
        Compression::dedicated(15),
        Compression::dedicated(9),
    ] {
        let site = Site::echo(move |server| server.compression(compression));
        for in_flight in [1, 16] {
            let mut peer = site.connect();
            let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
            peer.send(upgrade_request("/ws", offer).as_bytes());
            assert_eq!(peer.response().0, 101);
            let messages = frame(TEXT | 0x40, &zlib::message(&json(1))).repeat(in_flight);
            let mut room = [0; 4096];
            let mut exchange = |echoes: usize| {
                for _ in 0..echoes / in_flight {
                    peer.stream.write_all(&messages).unwrap();
                    (0..in_flight).for_each(|_| read_answer(&mut peer, &mut room));
                }
            };
            exchange(320);
            site.zone.mark();
            exchange(10_000);
            assert_eq!(site.zone.count(), 0, "{in_flight} in flight, {compression:?}");
        }
    }
}

fn echo(echoed: Arc<AtomicUsize>) -> impl Fn(WebSocket) -> Handler {
    move |mut socket| {
        let echoed = Arc::clone(&echoed);
        Box::pin(async move {
            while let Some(message) = socket.recv().await? {
                socket.send(message).await?;
                echoed.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        })
    }
}

type Handler = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// A peer that says something once, and takes whatever it is told. It needs no memory.
#[derive(Debug)]
struct Once(&'static [u8]);

impl AsyncRead for Once {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let said = std::mem::take(&mut self.0);
        buffer.put_slice(said);
        if said.is_empty() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl AsyncWrite for Once {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// `count` connections on this thread, each of which has echoed `message` and waits; bytes for each, with its task.
async fn idle(
    zone: &'static Zone,
    count: usize,
    compression: Option<Compression>,
    message: &'static [u8],
) -> isize {
    let config = Arc::new(Config { keepalive: Keepalive::off(), ..Config::new() });
    let mut tasks = JoinSet::new();
    let echoed = Arc::new(AtomicUsize::new(0));
    let before = zone.live();
    for _ in 0..count {
        let (stream, config) = (Once(message), Arc::clone(&config));
        let socket = match compression {
            None => WebSocket::from_upgraded(stream, Role::Server, config, &[]),
            Some(compression) => {
                let settings = compression.settings().unwrap();
                let params = Params { server: settings.outgoing, client: settings.incoming };
                let upgraded = Upgraded { extensions: Extensions::deflate(params), ..Upgraded::default() };
                WebSocket::with_compression(stream, Role::Server, config, upgraded, &compression, &[])
            }
        };
        tasks.spawn(socket.drive(echo(Arc::clone(&echoed))));
    }
    while echoed.load(Ordering::Relaxed) < count {
        tokio::task::yield_now().await;
    }
    // All of them have come to rest.
    tokio::task::yield_now().await;
    let each = (zone.live() - before) / count as isize;
    tasks.shutdown().await;
    each
}

/// The thread's compressor and decompressor are there from the first message on; ten thousand connections that have used
/// them and wait hold 200 bytes each at most more than those without compression.
#[test]
fn ten_thousand_idle_connections_cost_no_compressor_memory() {
    const CONNECTIONS: usize = 10_000;
    let zone = Zone::leaked();
    std::thread::spawn(move || {
        zone.enter();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().start_paused(true).build().unwrap().block_on(async {
            let plain: &'static [u8] = frame(TEXT, &json(1)).leak();
            let packed: &'static [u8] = frame(TEXT | 0x40, &zlib::message(&json(1))).leak();
            let shared = Some(Compression::shared());
            idle(zone, 10, None, plain).await;
            idle(zone, 10, shared, packed).await;
            let without = idle(zone, CONNECTIONS, None, plain).await;
            let with = idle(zone, CONNECTIONS, shared, packed).await;
            let kept = idle(zone, 1000, Some(Compression::windowed(1024)), packed).await;
            let own = idle(zone, 100, Some(Compression::dedicated(15)), packed).await;
            let least = Compression::dedicated(9).memory_level(1);
            let least = idle(zone, 100, Some(least), packed).await;
            println!(
                "bytes more for each idle connection than the {without} without compression: shared {}, windowed \
                 with 1,024 {}, dedicated with 15 bits {}, with 9 bits and memory level 1 {}",
                with - without,
                kept - without,
                own - without,
                least - without
            );
            assert!(with - without <= 200, "{with} and {without} bytes");
            assert!(kept - without <= 200 + 1024, "{kept} and {without} bytes");
            assert!((180_000..190_000).contains(&least) && (420_000..430_000).contains(&own), "{least}, {own}");
        });
    })
    .join()
    .unwrap();
}
