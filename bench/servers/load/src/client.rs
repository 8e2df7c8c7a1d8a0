//! A client under test. The load is its server, on one connection: it sends without end, or reads all that comes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use crate::failure::{Context, Failure};
use crate::options::{Direction, Options};
use crate::process::cpu_seconds;
use crate::watch::Watch;
use crate::wire::{BINARY, Messages, Sample, frame, read_head};

/// A client that does not connect, or moves nothing, for so long has failed.
const HANG: Duration = Duration::from_secs(10);

/// What is written or read at a time, bytes, or one message.
const PIECE: usize = 256 << 10;

/// RFC 6455 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Starts the client, shakes hands with it, and measures.
pub(crate) fn measure(options: &Options) -> Result<Value, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut client = Running(start(options, listener.local_addr()?.port())?);
    let mut stream = accept(&listener, &mut client.0)?;
    let head = read_head(&mut stream)?;
    stream.write_all(answer(&head)?.as_bytes()).context("handshake")?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let mut traffic = Traffic::new(options, stream);
    let (mut watch, began) = (Watch::new(), Instant::now());
    traffic.run(&mut watch, began + options.warm_up)?;
    watch.reset();
    let pid = client.0.id();
    let (began, before, cpu) = (Instant::now(), traffic.messages(), cpu_seconds(pid)?);
    traffic.run(&mut watch, began + options.seconds)?;
    let messages = traffic.messages() - before;
    if messages == 0 {
        return Err(Failure("not one message in the time of measuring".into()));
    }
    Ok(json!({
        "messages": messages,
        "seconds": began.elapsed().as_secs_f64(),
        "client_cpu_seconds": cpu_seconds(pid)? - cpu,
        "frozen_seconds": watch.frozen().as_secs_f64(),
    }))
}

/// A child that does not outlive this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(options: &Options, port: u16) -> Result<Child, Failure> {
    let words: Vec<_> =
        options.command.iter().map(|word| word.replace("{port}", &port.to_string())).collect();
    let (program, words) = words.split_first().ok_or_else(|| Failure("no --command".into()))?;
    Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .context(program)
}

fn accept(listener: &TcpListener, client: &mut Child) -> Result<TcpStream, Failure> {
    listener.set_nonblocking(true)?;
    let began = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
        if let Some(status) = client.try_wait()? {
            return Err(Failure(format!("the client ended with {status} before it connected")));
        }
        if began.elapsed() > HANG {
            return Err(Failure("the client does not connect".into()));
        }
    }
}

/// RFC 6455 4.2.2: the answer to a request.
fn answer(head: &str) -> Result<String, Failure> {
    let name = "sec-websocket-key:";
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
    let key = line.map(|line| line[name.len()..].trim()).ok_or_else(|| Failure(format!("no key: {head}")))?;
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let accept = base64::engine::general_purpose::STANDARD.encode(digest);
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ))
}

/// What goes over the connection.
enum Traffic {
    /// To the client: the message again and again, where in it the next byte is, and how many bytes have left.
    Out { stream: TcpStream, output: Vec<u8>, at: usize, sent: u64, frame: u64 },
    /// From the client: how many messages have come.
    In { stream: TcpStream, buffer: Vec<u8>, input: Messages, count: u64 },
}

impl Traffic {
    fn new(options: &Options, stream: TcpStream) -> Self {
        match options.direction {
            Direction::Receive => {
                let frame = frame(BINARY, &Sample::binary(options.size).payload);
                let output = frame.repeat((PIECE / frame.len()).max(1));
                Self::Out { stream, output, at: 0, sent: 0, frame: frame.len() as u64 }
            }
            Direction::Send => {
                let input = Messages::new(Some(options.size as u64), true);
                Self::In { stream, buffer: vec![0; PIECE], input, count: 0 }
            }
        }
    }

    /// Whole messages so far.
    fn messages(&self) -> u64 {
        match self {
            Self::Out { sent, frame, .. } => sent / frame,
            Self::In { count, .. } => *count,
        }
    }

    fn run(&mut self, watch: &mut Watch, until: Instant) -> Result<(), Failure> {
        let mut moved = Instant::now();
        loop {
            let now = watch.tick();
            if now >= until {
                return Ok(());
            }
            if self.step()? {
                moved = now;
            } else if now > moved + HANG {
                return Err(Failure("the client moves nothing".into()));
            }
        }
    }

    /// One read or write; false where there is nothing to read or no room.
    fn step(&mut self) -> Result<bool, Failure> {
        let moved = match self {
            Self::Out { stream, output, at, sent, .. } => stream.write(&output[*at..]).map(|moved| {
                *at = (*at + moved) % output.len();
                *sent += moved as u64;
                Ok(())
            }),
            Self::In { stream, buffer, input, count } => stream.read(buffer).map(|moved| match moved {
                0 => Err(Failure("the client has closed the connection".into())),
                moved => input.take(&buffer[..moved]).map(|ended| *count += ended as u64),
            }),
        };
        match moved {
            Ok(result) => result.map(|()| true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error).context("connection to the client"),
        }
    }
}
