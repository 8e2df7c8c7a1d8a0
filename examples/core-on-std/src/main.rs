//! The core without any runtime: one blocking `TcpStream`, fixed memory, an echo.
//!
//! `cargo run -p example-core-on-std`, then open a WebSocket to ws://127.0.0.1:8080/. One connection at a time.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant as Clock};

use wirelet_proto::handshake::{AcceptOptions, HeadScanner, RequestHead, UpgradeRequest};
use wirelet_proto::{
    Config, Connection, Event, Fixed, Instant, MessageKind, NoKeys, RecvBuffer, Role, SendError, Status,
};

fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:8080")?;
    println!("ws://{}/", listener.local_addr()?);
    for stream in listener.incoming() {
        if let Err(error) = serve(stream?) {
            eprintln!("{error}");
        }
    }
    Ok(())
}

fn serve(mut stream: TcpStream) -> Result<()> {
    let started = Clock::now();
    let now = || Instant::from_millis(started.elapsed().as_millis() as u64);
    let config = Config::new();
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    // What waits to be sent waits in `write_all`, which is limited here.
    stream.set_write_timeout(config.limits.stalled_time)?;
    let mut memory = [0; 4096];
    let leftover = open(&mut stream, &config, &mut memory)?;

    let mut rx = RecvBuffer::new(Fixed::new([0; 4096]));
    rx.spare_mut()[..leftover.len()].copy_from_slice(leftover);
    rx.commit(leftover.len());
    let mut connection = Connection::new(Role::Server, &config, now());
    loop {
        // The rule: flush poll_transmit, report with `sent`, then act on the status.
        let status = connection.advance(&mut rx, &mut NoKeys, now());
        flush(&mut connection, &mut stream, now())?;
        match status.map_err(|failure| Error::new(ErrorKind::InvalidData, failure))? {
            Status::Ready(_) => {
                let written = echo(&mut connection, &rx, &mut stream)?;
                connection.sent(written, 0, now());
            }
            Status::NeedInput => match stream.read(rx.spare_mut()) {
                Ok(0) => return Ok(()),
                Ok(n) => rx.commit(n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            },
            Status::Closed => return Ok(()),
            Status::NeedTransmit | Status::NeedOutput | Status::Paused => {}
        }
        if connection.handle_deadline(&mut NoKeys, now()).is_some() {
            return flush(&mut connection, &mut stream, now());
        }
    }
}

/// Sends what the core wants to send, and reports that.
fn flush(connection: &mut Connection<&Config>, stream: &mut TcpStream, now: Instant) -> Result<()> {
    let len = connection.poll_transmit().len();
    stream.write_all(connection.poll_transmit())?;
    connection.transmitted(len);
    connection.sent(len, 0, now);
    Ok(())
}

/// The opening handshake. Answers what has been received behind it.
fn open<'m>(stream: &mut TcpStream, config: &Config, memory: &'m mut [u8]) -> Result<&'m [u8]> {
    let refused = |error| Error::new(ErrorKind::InvalidData, error);
    let mut scanner = HeadScanner::new();
    let mut filled = 0;
    while scanner.scan(&memory[..filled], &config.limits.head()).map_err(refused)?.is_none() {
        match stream.read(&mut memory[filled..])? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => filled += n,
        }
    }
    let head = RequestHead::parse(&memory[..filled]).map_err(refused)?;
    let len = head.len();
    let request = UpgradeRequest::verify(head).map_err(refused)?;
    let mut response = [0; 512];
    let written = request.accept(&AcceptOptions::default(), &mut response).map_err(Error::other)?;
    stream.write_all(&response[..written])?;
    Ok(&memory[len..filled])
}

/// Answers how many bytes were written.
fn echo(
    connection: &mut Connection<&Config>,
    rx: &RecvBuffer<Fixed<[u8; 4096]>>,
    stream: &mut TcpStream,
) -> Result<usize> {
    let (kind, payload) = match connection.event(rx) {
        Event::Text(text) => (MessageKind::Text, text.as_bytes()),
        Event::Binary(data) => (MessageKind::Binary, data),
        _ => return Ok(0),
    };
    match connection.begin_frame(kind, payload.len() as u64, true, &mut NoKeys) {
        Ok(head) => {
            stream.write_all(&head)?;
            stream.write_all(payload)?;
            Ok(head.len() + payload.len())
        }
        Err(SendError::NotOpen) => Ok(0),
        Err(error) => Err(Error::other(error)),
    }
}
