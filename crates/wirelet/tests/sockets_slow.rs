//! Peers that read slowly are alive, over real sockets with small buffers. The pace is real time: it is what is tested.
//! Long form: the default limits, 4 MiB at 64 KiB a second, and 1,000 bytes a second for ten minutes.

mod sockets;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sockets::*;
use wirelet::server::{Context, Router, Server, ServerHandle, ws, ws_with};
use wirelet::{Error, Keepalive, WebSocket};

/// Keepalive as it is by default; in the short form as much shorter as the transfers are.
fn keepalive() -> Keepalive {
    if is_long() {
        return Keepalive::new();
    }
    // Old connections were given up after ping and pong: the transfers take longer.
    Keepalive {
        ping: Some(Duration::from_millis(500)),
        pong: Duration::from_secs(3),
        idle: Some(Duration::from_secs(18)),
    }
}

/// A server on a thread of its own.
fn serve(router: Router) -> (SocketAddr, ServerHandle) {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::bind("127.0.0.1:0").await.unwrap().keepalive(keepalive());
            tell.send((server.local_addr().unwrap(), server.handle())).unwrap();
            server.serve(router).await.unwrap();
        });
    });
    told.recv().unwrap()
}

/// A peer that reads so many bytes a second, and answers pings when it has read them.
struct SlowPeer {
    stream: TcpStream,
    rate: u64,
    began: Instant,
    /// Bytes read since the handshake.
    read: u64,
    /// The header of the current frame, as far as it was read.
    header: Vec<u8>,
    /// Payload of the current frame that is still to come.
    left: u64,
    /// What was read of it, where it is a control frame.
    payload: Vec<u8>,
    /// The code with which the server has closed.
    closed: Option<u16>,
}

impl SlowPeer {
    fn open(address: SocketAddr, rate: u64) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&address.into()).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        stream
            .write_all(
                b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            )
            .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let (header, payload) = (Vec::new(), Vec::new());
        Self { stream, rate, began: Instant::now(), read: 0, header, left: 0, payload, closed: None }
    }

    /// Reads a piece, not before its time has come.
    fn read_some(&mut self) {
        let due = self.began + Duration::from_secs_f64(self.read as f64 / self.rate as f64);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut piece = vec![0; (self.rate / 50).clamp(1, 4096) as usize];
        let n = self.stream.read(&mut piece).expect("the server goes on");
        assert!(n > 0, "it was cut off after {} bytes and {:?}", self.read, self.began.elapsed());
        self.read += n as u64;
        self.take(&piece[..n]);
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while let Some((byte, rest)) = bytes.split_first() {
            if self.left > 0 {
                let (now, later) = bytes.split_at((self.left as usize).min(bytes.len()));
                if self.header[0] >= 0x88 {
                    self.payload.extend(now);
                }
                self.left -= now.len() as u64;
                bytes = later;
            } else {
                bytes = rest;
                self.header.push(*byte);
                self.left = match self.header[..] {
                    [_, 126, a, b] => u64::from(u16::from_be_bytes([a, b])),
                    [_, 127, a, b, c, d, e, f, g, h] => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
                    [_, len @ ..126] => u64::from(len),
                    _ => continue,
                };
            }
            if self.left == 0 {
                self.end_of_frame();
            }
        }
    }

    fn end_of_frame(&mut self) {
        match self.header[0] {
            0x88 => self.closed = Some(u16::from_be_bytes(*self.payload.first_chunk().unwrap())),
            0x89 => {
                let mut pong = vec![0x8a, 0x80 | self.payload.len() as u8, 0, 0, 0, 0];
                pong.extend(&self.payload);
                self.stream.write_all(&pong).expect("the server reads");
            }
            _ => {}
        }
        self.header.clear();
        self.payload.clear();
    }

    /// Closes, and reads on, fast, until that is answered.
    fn close(mut self) {
        self.stream.write_all(b"\x88\x82\0\0\0\0\x03\xe8").unwrap();
        self.rate = u64::MAX;
        while self.closed.is_none() {
            self.read_some();
        }
        assert_eq!(self.closed, Some(1000));
    }
}

fn eventually_gone(handle: &ServerHandle) {
    let began = Instant::now();
    while handle.count() > 0 {
        assert!(began.elapsed() < HANG, "the connection is left");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_peer_that_takes_a_large_message_slowly_gets_it_whole() {
    const RATE: u64 = 64 * 1024;
    let len = if is_long() { 4 << 20 } else { 8 * RATE };
    let route = ws(move |mut ws: WebSocket, _| async move {
        ws.send(vec![7; len as usize]).await?;
        while ws.recv().await?.is_some() {}
        Ok::<_, Error>(())
    });
    let (address, handle) = serve(Router::new().ws("/ws", route));
    let mut peer = SlowPeer::open(address, RATE);
    while peer.read < 10 + len {
        peer.read_some();
    }
    println!("{} bytes in {:?}", peer.read, peer.began.elapsed());
    assert_eq!(handle.count(), 1);
    peer.close();
    eventually_gone(&handle);
    handle.stop();
}

#[test]
fn a_peer_that_reads_very_slowly_stays_connected() {
    let (rate, time) =
        if is_long() { (1000, Duration::from_secs(600)) } else { (4000, Duration::from_secs(8)) };
    let done = Arc::new(AtomicBool::new(false));
    let handler = |mut ws: WebSocket, _: Context, done: Arc<AtomicBool>| async move {
        // There is always more than it reads.
        while !done.load(Ordering::Relaxed) {
            ws.send(vec![7; 1000]).await?;
        }
        while ws.recv().await?.is_some() {}
        Ok::<_, Error>(())
    };
    let (address, handle) = serve(Router::new().ws("/ws", ws_with(Arc::clone(&done), handler)));
    let mut peer = SlowPeer::open(address, rate);
    while peer.began.elapsed() < time {
        peer.read_some();
    }
    println!("{} bytes in {:?}", peer.read, peer.began.elapsed());
    assert_eq!(handle.count(), 1);
    done.store(true, Ordering::Relaxed);
    peer.close();
    eventually_gone(&handle);
    handle.stop();
}
