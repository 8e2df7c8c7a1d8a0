//! A peer that writes and reads bytes as it likes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use tokio::net::TcpSocket;

pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

/// A peer that waits longer than this for anything has hung.
pub const HANG: Duration = Duration::from_secs(300);

/// A TCP connection to the server.
#[derive(Debug)]
pub struct Peer {
    pub stream: TcpStream,
}

/// The request for the echo.
pub fn upgrade_request(target: &str, more: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

/// The header of a masked frame with a 64-bit length where that is needed, or `long`; the masking key is zero.
pub fn header(first: u8, len: u64) -> Vec<u8> {
    let mut header = vec![first];
    match len {
        len @ ..126 => header.push(0x80 | len as u8),
        len @ ..65_536 => {
            header.push(0x80 | 126);
            header.extend((len as u16).to_be_bytes());
        }
        len => {
            header.push(0x80 | 127);
            header.extend(len.to_be_bytes());
        }
    }
    header.extend([0; 4]);
    header
}

/// A masked frame whose masking key is zero.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len() as u64);
    frame.extend(payload);
    frame
}

impl Peer {
    pub fn connect(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).unwrap())
    }

    /// From an address of its own: all of 127.0.0.0/8 is here.
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        Self::configured(address, |socket| socket.bind(SocketAddr::new(source, 0)).unwrap())
    }

    /// With a receive buffer so small that the server soon can't write, and with its handshake done.
    pub fn open_narrow(address: SocketAddr, target: &str) -> Self {
        let mut peer = Self::configured(address, |socket| socket.set_recv_buffer_size(4096).unwrap());
        peer.upgrade(target);
        peer
    }

    fn configured(address: SocketAddr, configure: impl FnOnce(&TcpSocket)) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let stream = runtime.block_on(async {
            let socket = TcpSocket::new_v4().unwrap();
            configure(&socket);
            socket.connect(address).await.unwrap().into_std().unwrap()
        });
        stream.set_nonblocking(false).unwrap();
        Self::of(stream)
    }

    fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        stream.set_write_timeout(Some(HANG)).unwrap();
        Self { stream }
    }

    /// A connection whose handshake is done.
    pub fn open(address: SocketAddr, target: &str) -> Self {
        let mut peer = Self::connect(address);
        peer.upgrade(target);
        peer
    }

    pub fn upgrade(&mut self, target: &str) {
        self.send(upgrade_request(target, "").as_bytes());
        assert_eq!(self.response().0, 101);
    }

    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// Sends as much of `bytes` as the server takes before it closes.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// One frame of the server: its first byte and its payload.
    #[track_caller]
    pub fn frame(&mut self) -> (u8, Vec<u8>) {
        self.try_frame().expect("a frame")
    }

    pub fn try_frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let [first, second] = self.array()?;
        let len = match second {
            126 => u64::from(u16::from_be_bytes(self.array()?)),
            127 => u64::from_be_bytes(self.array()?),
            len => u64::from(len),
        };
        let mut payload = vec![0; len as usize];
        self.stream.read_exact(&mut payload)?;
        Ok((first, payload))
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Frames up to the close frame, whose code it answers; nothing but the end of the stream may follow.
    #[track_caller]
    pub fn close_code(&mut self) -> u16 {
        loop {
            let (first, payload) = self.frame();
            if first == CLOSE {
                assert_eq!(self.rest(), b"", "something follows the close frame");
                return payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
            }
        }
    }

    /// What comes until the end.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let ended = self.stream.read_to_end(&mut rest);
        let hung = ended
            .as_ref()
            .is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        assert!(!hung, "the server does not close the connection");
        rest
    }

    /// Status, head in lower case, and body.
    #[track_caller]
    pub fn response(&mut self) -> (u16, String, String) {
        self.try_response().expect("a response")
    }

    pub fn try_response(&mut self) -> io::Result<(u16, String, String)> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.array::<1>()?);
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let len = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let mut body = vec![0; len.map_or(0, |len| len.parse().unwrap())];
        self.stream.read_exact(&mut body)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Ok((status, head, String::from_utf8_lossy(&body).into_owned()))
    }

    /// Asks for the page and gets it; hyper has the connection then.
    pub fn get_page(&mut self) {
        self.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(self.response().0, 200);
    }

    /// One echo; pings before it are answered.
    #[track_caller]
    pub fn echo(&mut self, text: &str) {
        self.send(&frame(TEXT, text.as_bytes()));
        loop {
            match self.frame() {
                (PING, payload) => self.send(&frame(PONG, &payload)),
                (first, payload) => {
                    assert_eq!((first, String::from_utf8_lossy(&payload).as_ref()), (TEXT, text));
                    return;
                }
            }
        }
    }

    /// One hundred echoes, one after the other.
    #[track_caller]
    pub fn echo_100(&mut self) {
        for n in 0..100 {
            self.echo(&format!("echo {n}"));
        }
    }

    /// Sends a ping, and reads up to its pong.
    #[track_caller]
    pub fn ping(&mut self, payload: &[u8]) {
        self.send(&frame(PING, payload));
        assert_eq!(self.frame(), (PONG, payload.to_vec()));
    }

    /// The closing handshake, and the end of the connection.
    #[track_caller]
    pub fn close(mut self) {
        self.send(&frame(CLOSE, &1000_u16.to_be_bytes()));
        assert_eq!(self.close_code(), 1000);
    }

    /// A reset instead of an end: a socket that is closed with unread input does that.
    pub fn reset(mut self) {
        self.send(&frame(PING, b"a pong that stays unread"));
        while self.stream.peek(&mut [0; 2]).is_ok_and(|n| n == 0) {}
    }

    /// Sends `piece` again and again, one piece each 20 ms, until the server says something or ends the connection.
    pub fn trickle(&mut self, piece: &[u8]) {
        self.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let began = std::time::Instant::now();
        while self
            .stream
            .peek(&mut [0])
            .is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
        {
            let _ = self.stream.write_all(piece);
            assert!(began.elapsed() < HANG, "the server waits for ever");
        }
        self.stream.set_read_timeout(Some(HANG)).unwrap();
    }

    /// Writes `bytes` again and again until the server has not taken any for half a second; answers how many it has
    /// taken in all. A server that is slow is taken for one that does not read: then the attack is weaker.
    pub fn write_until_blocked(&mut self, bytes: &[u8]) -> usize {
        self.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let (mut total, mut at) = (0, 0);
        while let Ok(n @ 1..) = self.stream.write(&bytes[at..]) {
            total += n;
            at = (at + n) % bytes.len();
        }
        self.stream.set_write_timeout(Some(HANG)).unwrap();
        total
    }

    pub fn finish_writing(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}
