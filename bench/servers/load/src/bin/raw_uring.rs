//! An echo of bytes on io_uring: `raw_uring PORT`, one thread. Accepts and receives with one request for many (multishot), into a ring
//! of buffers that the system takes from; one send at a time for each connection.
#![expect(unsafe_code, reason = "what io_uring reads and writes, the caller has to keep")]

use std::collections::VecDeque;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd};
use io_uring::{IoUring, cqueue, opcode, squeue};

/// Buffers that the system takes from, and the bytes of each.
const BUFFERS: u16 = 1024;
const BUFFER: usize = 16 << 10;

/// Entries of the queue of requests, and of that of their results.
const REQUESTS: u32 = 4096;
const RESULTS: u32 = 16 << 10;

/// What a result belongs to stands above the connection's descriptor.
const ACCEPT: u64 = 1 << 60;
const RECEIVE: u64 = 2 << 60;
const SEND: u64 = 3 << 60;
const KINDS: u64 = 7 << 60;

fn main() -> std::io::Result<()> {
    let port: u16 =
        std::env::args().nth(1).and_then(|word| word.parse().ok()).expect("usage: raw_uring PORT");
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    // Connections inherit it.
    rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
    rustix::net::listen(&listener, 4096)?;
    let ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_cqsize(RESULTS)
        .build(REQUESTS)?;
    let buffers = Buffers::register(&ring)?;
    Server { ring, buffers, listener: Fd(listener.as_raw_fd()), connections: Vec::new(), starved: Vec::new() }
        .run()
}

/// Memory that the system receives into. It lives as long as the process.
struct Buffers {
    ring: *mut BufRingEntry,
    bytes: *mut u8,
    tail: u16,
    told: u16,
}

impl Buffers {
    fn register(ring: &IoUring) -> std::io::Result<Self> {
        let entries = ring_memory()?;
        // SAFETY: the memory has room for so many entries, is aligned to a page, and is never given back.
        unsafe { ring.submitter().register_buf_ring_with_flags(entries as u64, BUFFERS, 0, 0)? };
        let bytes = Box::leak(vec![0; usize::from(BUFFERS) * BUFFER].into_boxed_slice()).as_mut_ptr();
        let mut buffers = Self { ring: entries, bytes, tail: 0, told: 0 };
        (0..BUFFERS).for_each(|number| buffers.give_back(number));
        buffers.tell();
        Ok(buffers)
    }

    fn address(&self, number: u16, offset: u32) -> *mut u8 {
        // SAFETY: each buffer, and an offset into it, is inside of the memory.
        unsafe { self.bytes.add(usize::from(number) * BUFFER + offset as usize) }
    }

    /// A buffer that nothing uses any more.
    fn give_back(&mut self, number: u16) {
        let address = self.address(number, 0);
        // SAFETY: the place is inside of the ring, and the system does not look at it before the tail has moved.
        let entry = unsafe { &mut *self.ring.add(usize::from(self.tail & (BUFFERS - 1))) };
        entry.set_addr(address as u64);
        entry.set_len(BUFFER as u32);
        entry.set_bid(number);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the system see what was given back; false where that was nothing.
    fn tell(&mut self) -> bool {
        // SAFETY: the tail stands inside of the ring's memory, and is read by the system as an atomic number.
        let tail = unsafe { &*BufRingEntry::tail(self.ring).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
        std::mem::replace(&mut self.told, self.tail) != self.tail
    }
}

/// Zeroed pages for the ring of buffers.
fn ring_memory() -> std::io::Result<*mut BufRingEntry> {
    let length = usize::from(BUFFERS) * size_of::<BufRingEntry>();
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: new memory, at no address in particular.
    let memory = unsafe { libc::mmap(ptr::null_mut(), length, access, flags, -1, 0) };
    if memory == libc::MAP_FAILED { Err(std::io::Error::last_os_error()) } else { Ok(memory.cast()) }
}

/// Bytes of a buffer that have to be sent.
#[derive(Clone, Copy)]
struct Piece {
    buffer: u16,
    from: u32,
    to: u32,
}

/// What waits to be sent; the first piece is being sent.
#[derive(Default)]
struct Connection {
    waiting: VecDeque<Piece>,
    sends: bool,
}

struct Server {
    ring: IoUring,
    buffers: Buffers,
    listener: Fd,
    /// By descriptor.
    connections: Vec<Connection>,
    /// Whose receiving has stopped because there was no buffer.
    starved: Vec<i32>,
}

impl Server {
    fn run(&mut self) -> std::io::Result<()> {
        self.accept();
        let mut results = Vec::new();
        loop {
            match self.ring.submit_and_wait(1) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            results.extend(
                self.ring.completion().map(|entry| (entry.user_data(), entry.result(), entry.flags())),
            );
            for (data, result, flags) in results.drain(..) {
                let connection = (data & u64::from(u32::MAX)) as i32;
                match data & KINDS {
                    ACCEPT => self.accepted(result, flags),
                    RECEIVE => self.received(connection, result, flags),
                    _ => self.sent(connection, result),
                }
            }
            if self.buffers.tell() {
                std::mem::take(&mut self.starved).into_iter().for_each(|connection| self.receive(connection));
            }
        }
    }

    fn push(&mut self, request: &squeue::Entry) {
        // SAFETY: what requests refer to are buffers, which live as long as the process and are not used otherwise meanwhile.
        while unsafe { self.ring.submission().push(request) }.is_err() {
            self.ring.submit().expect("submit");
        }
    }

    fn accept(&mut self) {
        self.push(&opcode::AcceptMulti::new(self.listener).build().user_data(ACCEPT));
    }

    fn receive(&mut self, connection: i32) {
        self.push(&opcode::RecvMulti::new(Fd(connection), 0).build().user_data(RECEIVE | connection as u64));
    }

    fn send(&mut self, connection: i32, piece: Piece) {
        let (address, length) = (self.buffers.address(piece.buffer, piece.from), piece.to - piece.from);
        let request =
            opcode::Send::new(Fd(connection), address, length).flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL);
        self.push(&request.build().user_data(SEND | connection as u64));
    }

    fn accepted(&mut self, result: i32, flags: u32) {
        if let Ok(number) = usize::try_from(result) {
            if self.connections.len() <= number {
                self.connections.resize_with(number + 1, Connection::default);
            }
            self.receive(result);
        }
        if !cqueue::more(flags) {
            self.accept();
        }
    }

    fn received(&mut self, connection: i32, result: i32, flags: u32) {
        if result == -libc::ENOBUFS {
            return self.starved.push(connection);
        }
        let buffer = cqueue::buffer_select(flags);
        let (Some(buffer), 1..) = (buffer, result) else {
            buffer.into_iter().for_each(|buffer| self.buffers.give_back(buffer));
            return self.end(connection);
        };
        let piece = Piece { buffer, from: 0, to: result as u32 };
        let state = &mut self.connections[connection as usize];
        state.waiting.push_back(piece);
        if !std::mem::replace(&mut state.sends, true) {
            self.send(connection, piece);
        }
        if !cqueue::more(flags) {
            self.receive(connection);
        }
    }

    fn sent(&mut self, connection: i32, result: i32) {
        let state = &mut self.connections[connection as usize];
        let Some(mut piece) = state.waiting.pop_front() else { return };
        let taken = u32::try_from(result).unwrap_or(0);
        if taken > 0 && piece.from + taken < piece.to {
            piece.from += taken;
            state.waiting.push_front(piece);
            return self.send(connection, piece);
        }
        self.buffers.give_back(piece.buffer);
        if result < 0 {
            state.waiting.drain(..).for_each(|piece| self.buffers.give_back(piece.buffer));
        }
        match state.waiting.front().copied() {
            Some(next) => self.send(connection, next),
            None => state.sends = false,
        }
    }

    fn end(&mut self, connection: i32) {
        let state = &mut self.connections[connection as usize];
        if !state.sends {
            state.waiting.drain(..).for_each(|piece| self.buffers.give_back(piece.buffer));
        }
        // SAFETY: the descriptor was accepted here, and nothing else closes it.
        unsafe { libc::close(connection) };
    }
}
