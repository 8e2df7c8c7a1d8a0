//! An echo of bytes on epoll: `raw_epoll PORT [echo|broadcast]`, one thread. What the system's calls alone cost.
//!
//! `broadcast` takes what is a masked frame of 64 bytes long for a message and sends a ready-made frame to all.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// What is read at a time.
const READ: usize = 512 << 10;

/// A frame of 64 bytes, as a client sends it and as a server does.
const ASKED: usize = 70;
const SENT: usize = 66;

/// The number of the listener among the descriptors of the connections.
const LISTENER: u64 = u64::MAX;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let broadcast = arguments.get(1).is_some_and(|mode| mode == "broadcast");
    let port =
        arguments.first().and_then(|word| word.parse().ok()).expect("usage: raw_epoll PORT [echo|broadcast]");
    let listener =
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None)?;
    rustix::net::sockopt::set_socket_reuseaddr(&listener, true)?;
    rustix::net::bind(&listener, &std::net::SocketAddr::from(([127, 0, 0, 1], port)))?;
    rustix::net::listen(&listener, 4096)?;
    let listener = TcpListener::from(listener);
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let connections = Vec::new();
    Server { epoll, listener, connections, buffer: vec![0; READ], heard: 0, broadcast }.run()
}

struct Server {
    epoll: OwnedFd,
    listener: TcpListener,
    /// By descriptor.
    connections: Vec<Option<Connection>>,
    buffer: Vec<u8>,
    /// Bytes of a message to all that has not come to its end.
    heard: usize,
    broadcast: bool,
}

struct Connection {
    stream: TcpStream,
    /// What the system has not taken, and where its rest begins.
    waiting: Vec<u8>,
    at: usize,
}

impl Server {
    fn run(&mut self) -> Result<()> {
        let mut events = [const { std::mem::MaybeUninit::uninit() }; 1024];
        loop {
            let (events, _) = epoll::wait(&self.epoll, &mut events, None)?;
            for event in events {
                let (number, flags) = (event.data.u64(), event.flags);
                if number == LISTENER {
                    self.accept()?;
                } else if self.serve(number as usize, flags).is_err() {
                    self.connections[number as usize] = None;
                }
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        while let Ok((stream, _)) = self.listener.accept() {
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let number = stream.as_raw_fd() as usize;
            epoll::add(&self.epoll, &stream, EventData::new_u64(number as u64), EventFlags::IN)?;
            if self.connections.len() <= number {
                self.connections.resize_with(number + 1, || None);
            }
            self.connections[number] = Some(Connection { stream, waiting: Vec::new(), at: 0 });
        }
        Ok(())
    }

    fn serve(&mut self, number: usize, flags: EventFlags) -> Result<()> {
        let Some(connection) = &mut self.connections[number] else { return Ok(()) };
        if flags.contains(EventFlags::OUT) {
            connection.at += connection.stream.write(&connection.waiting[connection.at..])?;
            if connection.at == connection.waiting.len() {
                connection.waiting.clear();
                connection.at = 0;
                wait_for(&self.epoll, &connection.stream, EventFlags::IN)?;
            }
            return Ok(());
        }
        let count = match connection.stream.read(&mut self.buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        if self.broadcast {
            self.send_to_all(count);
            return Ok(());
        }
        let taken = match connection.stream.write(&self.buffer[..count]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            other => other?,
        };
        if taken < count {
            connection.waiting.extend_from_slice(&self.buffer[taken..count]);
            wait_for(&self.epoll, &connection.stream, EventFlags::OUT)?;
        }
        Ok(())
    }

    fn send_to_all(&mut self, count: usize) {
        self.heard += count;
        let messages = self.heard / ASKED;
        self.heard %= ASKED;
        let mut frame = [7; SENT];
        frame[..2].copy_from_slice(&[0x82, 64]);
        let frames = frame.repeat(messages);
        for connection in self.connections.iter_mut().flatten() {
            // A receiver that takes nothing is the load's mistake, which will miss its messages.
            let _ = connection.stream.write(&frames);
        }
    }
}

fn wait_for(epoll: &OwnedFd, stream: &TcpStream, flags: EventFlags) -> Result<()> {
    let number = stream.as_fd().as_raw_fd() as u64;
    Ok(epoll::modify(epoll, stream, EventData::new_u64(number), flags)?)
}
