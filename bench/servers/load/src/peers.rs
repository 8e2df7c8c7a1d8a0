//! The connections of the load, and what they send.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use socket2::{Domain, Socket, Type};

use crate::failure::{Context, Failure};
use crate::wire::{Messages, Sample, read_answer, request};

/// As many connections come from one address: a port can be used once for each.
const PER_ADDRESS: usize = 10_000;

/// What is sent at a time is at most about so long.
const LONGEST_WRITE: usize = 4 << 20;

/// What is read at a time.
const READ: usize = 512 << 10;

/// Events that are asked for at a time.
const EVENTS: usize = 1024;

/// All connections, registered with one epoll (level triggered).
pub(crate) struct Peers {
    epoll: OwnedFd,
    peers: Vec<Peer>,
    /// The message as often as it is sent at a time, one behind the other.
    output: Vec<u8>,
    frame: usize,
    buffer: Vec<u8>,
    /// What the server and the first connection have agreed on.
    pub(crate) extensions: String,
    /// Payload of an answer, bytes.
    pub(crate) answer_bytes: usize,
}

struct Peer {
    stream: TcpStream,
    input: Input,
    /// Where in the output the next byte is, and how many are to be sent from there on.
    at: usize,
    left: usize,
    /// Whether the system has refused some, so that the event for it is on.
    full: bool,
}

enum Input {
    Messages(Messages),
    /// Bytes come back as they were sent: so many are a message, so many of the next one are there.
    Raw(usize, usize),
}

/// Something that a connection is ready for.
#[derive(Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) peer: usize,
    readable: bool,
    writable: bool,
}

/// A connection to the server from the address for its number: 127.0.0.1 and those behind it.
pub(crate) fn connect(port: u16, number: usize) -> Result<TcpStream, Failure> {
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + (number / PER_ADDRESS) as u32);
    let connected = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        if number >= PER_ADDRESS {
            socket.bind(&SocketAddrV4::new(address, 0).into())?;
        }
        socket.connect(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into())?;
        socket.set_tcp_nodelay(true)?;
        // Thousands of closed connections that the system remembers (TIME_WAIT) would slow down the next measurement's.
        socket.set_linger(Some(Duration::ZERO))?;
        Ok::<_, std::io::Error>(socket.into())
    };
    connected().context("connect")
}

impl Peers {
    /// Opens all connections and compares the first echoes, unless the server echoes to all. `burst`: messages that are
    /// sent at a time.
    pub(crate) fn open(
        port: u16,
        count: usize,
        burst: usize,
        sample: &Sample,
        opening: Opening,
    ) -> Result<Self, Failure> {
        let repeats = burst.min(LONGEST_WRITE / sample.frame.len()).max(1);
        let mut peers = Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            peers: Vec::with_capacity(count),
            output: sample.frame.repeat(repeats),
            frame: sample.frame.len(),
            buffer: vec![0; READ],
            extensions: String::new(),
            answer_bytes: sample.payload.len(),
        };
        for number in 0..count {
            peers.add(number, port, sample, &opening)?;
        }
        Ok(peers)
    }

    fn add(&mut self, number: usize, port: u16, sample: &Sample, opening: &Opening) -> Result<(), Failure> {
        let mut stream = connect(port, number)?;
        if !opening.raw {
            stream.write_all(&request(port, opening.deflate)).context("handshake")?;
            let extensions = read_answer(&mut stream)?;
            if number == 0 {
                self.extensions = extensions;
            }
        }
        for _ in 0..if number == 0 && opening.echoes { 3 } else { 0 } {
            self.answer_bytes = sample.check(&mut stream, opening.raw)?;
        }
        stream.set_nonblocking(true)?;
        epoll::add(&self.epoll, &stream, EventData::new_u64(number as u64), EventFlags::IN)?;
        // A raw server echoes what it gets; to all it sends frames.
        let input = if opening.raw && opening.echoes {
            Input::Raw(sample.frame.len(), 0)
        } else {
            Input::Messages(Messages::new(sample.answer(), false))
        };
        self.peers.push(Peer { stream, input, at: 0, left: 0, full: false });
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// What is ready now; waits for up to a second for something where that is wanted.
    #[inline]
    pub(crate) fn poll(&self, waits: bool, ready: &mut Vec<Ready>) -> Result<(), Failure> {
        let mut events = [const { std::mem::MaybeUninit::uninit() }; EVENTS];
        let timeout = rustix::event::Timespec { tv_sec: i64::from(waits), tv_nsec: 0 };
        let (events, _) = epoll::wait(&self.epoll, &mut events, Some(&timeout))?;
        ready.clear();
        ready.extend(events.iter().map(|event| {
            let flags = event.flags;
            let readable = flags.intersects(EventFlags::IN | EventFlags::ERR | EventFlags::HUP);
            Ready { peer: event.data.u64() as usize, readable, writable: flags.contains(EventFlags::OUT) }
        }));
        Ok(())
    }

    /// Reads and writes once what a connection is ready for; returns how many messages have ended.
    #[inline]
    pub(crate) fn serve(&mut self, ready: Ready) -> Result<usize, Failure> {
        if ready.writable {
            self.flush(ready.peer)?;
        }
        if !ready.readable {
            return Ok(0);
        }
        let peer = &mut self.peers[ready.peer];
        let count = match peer.stream.read(&mut self.buffer) {
            Ok(0) => return Err(Failure("the server has closed a connection".into())),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error).context("receive"),
        };
        match &mut peer.input {
            Input::Messages(messages) => messages.take(&self.buffer[..count]),
            Input::Raw(length, have) => {
                *have += count;
                let ended = *have / *length;
                *have %= *length;
                Ok(ended)
            }
        }
    }

    /// Sends the message so many times, as far as the system takes it now.
    #[inline]
    pub(crate) fn send(&mut self, number: usize, times: usize) -> Result<(), Failure> {
        self.peers[number].left += times * self.frame;
        self.flush(number)
    }

    fn flush(&mut self, number: usize) -> Result<(), Failure> {
        let peer = &mut self.peers[number];
        while peer.left > 0 {
            let end = self.output.len().min(peer.at + peer.left);
            match peer.stream.write(&self.output[peer.at..end]) {
                Ok(count) => {
                    peer.left -= count;
                    peer.at = (peer.at + count) % self.output.len();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return self.wants_room(number, true);
                }
                Err(error) => return Err(error).context("send"),
            }
        }
        self.wants_room(number, false)
    }

    fn wants_room(&mut self, number: usize, wanted: bool) -> Result<(), Failure> {
        let peer = &mut self.peers[number];
        if peer.full == wanted {
            return Ok(());
        }
        peer.full = wanted;
        let flags = if wanted { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
        Ok(epoll::modify(&self.epoll, &peer.stream, EventData::new_u64(number as u64), flags)?)
    }
}

/// How connections are opened.
pub(crate) struct Opening {
    pub(crate) raw: bool,
    pub(crate) deflate: bool,
    /// Whether the server echoes: then the first echoes are compared.
    pub(crate) echoes: bool,
}
