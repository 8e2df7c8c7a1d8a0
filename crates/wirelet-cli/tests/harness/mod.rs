//! Runs the program as people do, and speaks to it over plain sockets.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use wirelet::proto::handshake::accept_key;

/// Nothing takes so long; when it is reached, something hangs.
pub(crate) const HANG: Duration = Duration::from_secs(120);

/// What a finished program left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Outcome {
    Program::start(arguments).finish()
}

/// The program while it runs.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
    stderr: Option<thread::JoinHandle<String>>,
    seen: String,
}

impl Program {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, |_| {})
    }

    /// With another environment or standard input. No variable names a proxy but those that `change` sets.
    pub(crate) fn start_with(arguments: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wirelet"));
        for name in ["ws", "wss", "socks", "https", "http", "all", "no"].map(|name| format!("{name}_proxy")) {
            command.env_remove(name.to_uppercase()).env_remove(name);
        }
        command
            .args(arguments)
            .env_remove("CLICOLOR_FORCE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().expect("the program starts");
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut stderr = child.stderr.take().expect("piped");
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        Self { child, lines, stderr: Some(stderr), seen: String::new() }
    }

    /// The next line that contains `text`.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let deadline = Instant::now() + HANG;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.keep(&line);
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no line with {text:?} came; so far:\n{}", self.seen)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let stderr = self.stderr();
                    panic!("the program ended without a line with {text:?}:\n{}\n{stderr}", self.seen)
                }
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the program runs");
    }

    /// Waits for the end of the program.
    pub(crate) fn finish(mut self) -> Outcome {
        let deadline = Instant::now() + HANG;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.keep(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the program does not end; so far:\n{}", self.seen),
            }
        }
        let code = self.child.wait().expect("it can be waited for").code();
        Outcome { code, stdout: std::mem::take(&mut self.seen), stderr: self.stderr() }
    }

    fn keep(&mut self, line: &str) {
        self.seen.push_str(line);
        self.seen.push('\n');
    }

    fn stderr(&mut self) -> String {
        self.stderr.take().map_or_else(String::new, |reader| reader.join().expect("it only reads"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `wirelet serve` on a free port.
pub(crate) struct Server {
    pub(crate) program: Program,
    pub(crate) addr: SocketAddr,
    /// The line that shows the WebSocket's URL.
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut program = Program::start(&[&["serve", "--addr", "127.0.0.1:0"], arguments].concat());
        let line = program.wait_for("ws://");
        let url = line.split_whitespace().find(|word| word.starts_with("ws://")).expect("a URL").to_owned();
        let authority = url["ws://".len()..].split('/').next().expect("an authority");
        let addr = authority.parse().expect("an address with the real port");
        Self { program, addr, url }
    }

    /// Sends a GET request with more header fields; the answer's head and body.
    pub(crate) fn get(&self, path: &str, fields: &str) -> (String, String) {
        request(self.addr, "GET", path, fields)
    }

    /// Opens a WebSocket by hand.
    pub(crate) fn websocket(&self) -> Peer {
        let (head, peer) = upgrade(self.addr, "/ws", "");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        peer
    }
}

/// One request on a connection of its own; the answer's head and body.
pub(crate) fn request(addr: SocketAddr, method: &str, path: &str, fields: &str) -> (String, String) {
    let mut stream = connect(addr);
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n{fields}\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}

/// A field of a head, by its lower-case name.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Asks for a WebSocket; the answer's head and the connection.
pub(crate) fn upgrade(addr: SocketAddr, path: &str, fields: &str) -> (String, Peer) {
    let mut peer = Peer(connect(addr));
    write!(
        peer.0,
        "GET {path} HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
    )
    .unwrap();
    (peer.head(), peer)
}

/// The other end of a WebSocket, by hand: frames in, frames out.
pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    /// Reads up to and with the empty line behind a head.
    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).expect("a whole head");
            head.push(byte[0]);
        }
        String::from_utf8(head).expect("text")
    }

    /// Sends a frame as a client does: `first` is FIN, RSV and opcode; masked.
    pub(crate) fn send(&mut self, first: u8, payload: &[u8]) {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let mut frame = header(first, 0x80, payload.len());
        frame.extend_from_slice(&key);
        frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        self.0.write_all(&frame).unwrap();
    }

    /// Sends a frame as a server does.
    pub(crate) fn send_unmasked(&mut self, first: u8, payload: &[u8]) {
        let mut frame = header(first, 0, payload.len());
        frame.extend_from_slice(payload);
        self.0.write_all(&frame).unwrap();
    }

    /// The next frame: its first byte and its payload, unmasked.
    pub(crate) fn receive(&mut self) -> (u8, Vec<u8>) {
        let mut start = [0; 2];
        self.0.read_exact(&mut start).expect("a frame");
        let length = match start[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes(self.bytes())),
            127 => u64::from_be_bytes(self.bytes()),
            short => u64::from(short),
        };
        let key: [u8; 4] = if start[1] & 0x80 == 0 { [0; 4] } else { self.bytes() };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut payload).expect("a whole frame");
        payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        (start[0], payload)
    }

    /// The code of the next frame, which is a close frame.
    pub(crate) fn receive_close(&mut self) -> u16 {
        let (first, payload) = self.receive();
        assert_eq!(first, 0x88, "not a close frame: {payload:?}");
        u16::from_be_bytes([payload[0], payload[1]])
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).expect("a whole header");
        bytes
    }
}

fn header(first: u8, mask: u8, length: usize) -> Vec<u8> {
    let mut header = vec![first];
    match length {
        0..=125 => header.push(mask | length as u8),
        126..=0xffff => {
            header.push(mask | 126);
            header.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            header.push(mask | 127);
            header.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    header
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("the server listens");
    stream.set_read_timeout(Some(HANG)).unwrap();
    stream
}

/// A server of one connection that does what a test wants, in a thread of its own; answers its address.
pub(crate) fn fake_server(act: impl FnOnce(Peer) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        act(Peer(stream));
    });
    addr
}

/// A server that opens a WebSocket and then does what a test wants.
pub(crate) fn fake_websocket(act: impl FnOnce(Peer) + Send + 'static) -> SocketAddr {
    fake_server(|mut peer| {
        let head = peer.head();
        let key = accept_key(field(&head, "sec-websocket-key").expect("a key").as_bytes());
        let accept = std::str::from_utf8(&key).unwrap();
        write!(
            peer.0,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .unwrap();
        act(peer);
    })
}
