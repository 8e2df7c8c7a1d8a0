//! The scenarios that both drivers run, with every message compressed on the way: a peer between the script and the endpoint
//! compresses what the script says and decompresses what the endpoint does.

#![cfg(feature = "deflate")]

mod peer;
mod zlib;

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use peer::Hesitant;
use testkit::scenario::{Act, CLOSE, LIMIT, Scenario, scenarios};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use wirelet::proto::{CloseCode, CloseInfo, Extensions, Limits, Upgraded, deflate::Params};
use wirelet::{Compression, Config, Error, Event, Role, WebSocket};
use zlib_rs::{Deflate, Inflate};

/// `operation` to its end, each poll of it by a new future.
async fn done<T>(mut operation: impl AsyncFnMut() -> T) -> T {
    loop {
        {
            let mut future = pin!(operation());
            let poll = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
            if let Poll::Ready(output) = poll {
                return output;
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Echoes until the connection has ended; every second text comes back in fragments.
async fn echo(socket: &mut WebSocket) -> Result<(), Error> {
    let mut in_fragments = false;
    loop {
        match done(async || socket.recv_event().await).await? {
            Some(Event::Message(message)) => {
                in_fragments = !in_fragments;
                match message.as_text().filter(|_| in_fragments) {
                    Some(text) => {
                        let half = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
                        let (begin, end) = text.split_at(half);
                        let mut fragments = socket.text_fragments();
                        fragments.write(begin).await?;
                        fragments.write("").await?;
                        fragments.finish(end).await?;
                    }
                    None => {
                        socket.feed(message).await?;
                        done(async || socket.flush().await).await?;
                    }
                }
            }
            Some(Event::Ping(payload)) if payload == CLOSE => {
                done(async || socket.close(CloseCode::NORMAL, "").await).await?;
            }
            Some(_) => {}
            None => return Ok(()),
        }
    }
}

/// A frame in the form that every endpoint sends.
struct Frame {
    first: u8,
    masked: bool,
    payload: Vec<u8>,
}

impl Frame {
    /// The frame at the front of `bytes`, and how long it is. `None`: not all of it is there.
    fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (len, mut at) = match second & 0x7f {
            126 => (usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])), 4),
            127 => return None,
            len => (usize::from(len), 2),
        };
        let masked = second & 0x80 != 0;
        let mut key = [0; 4];
        if masked {
            key = *bytes.get(at..)?.first_chunk()?;
            at += 4;
        }
        let payload = bytes.get(at..at + len)?;
        let payload = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        Some((Self { first, masked, payload }, at + len))
    }

    fn bytes(&self) -> Vec<u8> {
        if self.masked {
            peer::client_frame(self.first, &self.payload)
        } else {
            peer::server_frame(self.first, &self.payload)
        }
    }
}

/// Compresses towards the endpoint and decompresses towards the script.
struct Between {
    role: Role,
    deflate: Deflate,
    inflate: Inflate,
    takeover: bool,
    /// What the endpoint has said and is not a whole frame yet.
    heard: Vec<u8>,
    /// A compressed message that has begun, and its first byte.
    joined: Option<(u8, Vec<u8>)>,
    /// Messages that were compressed.
    compressed: usize,
}

impl Between {
    fn new(role: Role, takeover: bool) -> Self {
        let (deflate, inflate) = (Deflate::new(6, false, 15), Inflate::new(false, 15));
        Self { role, deflate, inflate, takeover, heard: Vec::new(), joined: None, compressed: 0 }
    }

    /// What the script says: frames that are well-formed are compressed where they are messages, others stay as they are.
    fn say(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some((mut frame, len)) = Frame::parse(bytes) {
            let right = frame.masked == (self.role == Role::Server) && matches!(frame.first & 0x7f, 0..=2);
            if !right || frame.bytes().len() != len {
                all.extend_from_slice(&bytes[..len]);
            } else {
                let fin = frame.first & 0x80 != 0;
                if frame.first & 0x7f != 0 {
                    frame.first |= 0x40;
                    if !self.takeover {
                        self.deflate.reset();
                    }
                }
                frame.payload = zlib::deflated(&mut self.deflate, &frame.payload, fin);
                all.extend(frame.bytes());
            }
            bytes = &bytes[len..];
        }
        all.extend_from_slice(bytes);
        all
    }

    /// What the endpoint has said, decompressed.
    fn hear(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.heard.extend_from_slice(bytes);
        let mut all = Vec::new();
        while let Some((frame, len)) = Frame::parse(&self.heard) {
            self.heard.drain(..len);
            let fin = frame.first & 0x80 != 0;
            let joined = match (frame.first & 0x4f, self.joined.take()) {
                (0x41 | 0x42, None) => Some((frame.first & 0x0f, frame.payload.clone())),
                (0, Some((first, begun))) => Some((first, [begun, frame.payload.clone()].concat())),
                (_, other) => {
                    all.extend(frame.bytes());
                    self.joined = other;
                    continue;
                }
            };
            self.joined = joined;
            if fin && let Some((first, message)) = self.joined.take() {
                if !self.takeover {
                    self.inflate.reset(false);
                }
                let payload = zlib::inflated(&mut self.inflate, &message);
                self.compressed += 1;
                all.extend(Frame { first: first | 0x80, masked: frame.masked, payload }.bytes());
            }
        }
        all
    }
}

async fn play(scenario: &Scenario, mut stream: DuplexStream, takeover: bool) -> usize {
    let mut script = scenario.script();
    let mut between = Between::new(scenario.role, takeover);
    loop {
        match script.next() {
            Act::Send(bytes) => drop(stream.write_all(&between.say(bytes)).await),
            Act::Receive => {
                let mut buffer = [0; 64];
                let n = stream.read(&mut buffer).await.unwrap_or(0);
                let heard = between.hear(&buffer[..n]);
                if n == 0 || !heard.is_empty() {
                    script.received(&heard);
                }
            }
            Act::Finish => stream.shutdown().await.unwrap(),
            Act::Done => return between.compressed,
        }
    }
}

async fn ends(
    scenario: &Scenario,
    most: usize,
    compression: Compression,
) -> (CloseInfo, Result<(), Error>, usize) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let config = Config { limits: Limits { message: LIMIT, ..Limits::new() }, ..Config::new() };
    let settings = compression.threshold(0).settings().unwrap();
    let takeover = settings.incoming.takeover;
    let params = match scenario.role {
        Role::Server => Params { server: settings.outgoing, client: settings.incoming },
        Role::Client => Params { server: settings.incoming, client: settings.outgoing },
    };
    let upgraded = Upgraded { extensions: Extensions::deflate(params), ..Upgraded::default() };
    let near = Hesitant::new(near, most);
    let compression = compression.threshold(0);
    let mut socket =
        WebSocket::with_compression(near, scenario.role, config.into(), upgraded, &compression, &[]);
    let run = async {
        let end = echo(&mut socket).await;
        let close = socket.close_info();
        drop(socket);
        (close, end)
    };
    // What refers to earlier messages is understood by who keeps them, and by nobody else.
    let ((close, end), compressed) = tokio::join!(run, play(scenario, far, takeover));
    (close, end, compressed)
}

#[tokio::test(start_paused = true)]
async fn every_scenario_ends_as_it_should_when_messages_are_compressed() {
    let mut total = 0;
    // The bit that is reserved there has a meaning here.
    for scenario in scenarios().into_iter().filter(|scenario| !scenario.name.starts_with("reserved bits")) {
        for most in [1, 3, 16, 1000] {
            for compression in [Compression::shared(), Compression::dedicated(15)] {
                let (close, end, compressed) = ends(&scenario, most, compression).await;
                let name = &scenario.name;
                assert_eq!(close, scenario.close, "{name}, {most}, {compression:?}");
                assert_eq!(end.is_ok(), close.is_clean(), "{name}, {most}, {compression:?}: {end:?}");
                total += compressed;
            }
        }
    }
    assert!(total > 100, "{total} messages were compressed");
}
