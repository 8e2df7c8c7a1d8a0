//! The normal client: an echo of 32 bytes each 2 ms, one at a time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::flood::{frame, request};
use crate::processes::Failure;

const TEXT: u8 = 0x81;
const PAYLOAD: &[u8] = b"what a normal client has to say.";

/// Between an answer and the next question.
const PAUSE: Duration = Duration::from_millis(2);

/// An echo that takes longer has failed.
const HANG: Duration = Duration::from_secs(30);

/// How long echoes took, sorted.
pub(crate) struct Echoes(Vec<Duration>);

impl Echoes {
    pub(crate) const fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that `part` of all echoes did not exceed.
    pub(crate) fn quantile(&self, part: f64) -> Duration {
        let last = self.0.len().saturating_sub(1);
        let index = ((self.0.len() as f64 * part) as usize).min(last);
        self.0.get(index).copied().unwrap_or(HANG)
    }
}

/// Echoes for so long. The last one counts, too, however long it takes.
pub(crate) fn measure(address: SocketAddr, time: Duration) -> Result<Echoes, Failure> {
    let wrong = |error: std::io::Error| Failure(format!("the normal client: {error}"));
    let mut stream = open(address).map_err(wrong)?;
    let mut echoes = Vec::new();
    let began = Instant::now();
    while began.elapsed() < time {
        echoes.push(echo(&mut stream).map_err(wrong)?);
        std::thread::sleep(PAUSE);
    }
    echoes.sort_unstable();
    Ok(Echoes(echoes))
}

fn open(address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(HANG))?;
    stream.write_all(request(false).as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(stream)
}

fn echo(stream: &mut TcpStream) -> std::io::Result<Duration> {
    let question = frame(TEXT, PAYLOAD);
    let began = Instant::now();
    stream.write_all(&question)?;
    loop {
        let mut head = [0; 2];
        stream.read_exact(&mut head)?;
        let mut payload = vec![0; usize::from(head[1])];
        stream.read_exact(&mut payload)?;
        match head[0] {
            TEXT if payload == PAYLOAD => return Ok(began.elapsed()),
            // A ping of a server that has heard nothing for long.
            0x89 => stream.write_all(&frame(0x8a, &payload))?,
            first => return Err(std::io::Error::other(format!("a frame {first:#x} in place of an echo"))),
        }
    }
}
