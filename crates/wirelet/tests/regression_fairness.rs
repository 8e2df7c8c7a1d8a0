//! One poll of a connection's task is bounded, whatever its peer sends: others have their turn. Counted, not timed: the
//! task is polled by hand over a stream that always has more.

#[cfg(feature = "deflate")]
mod blocks;
mod peer;
mod scripted;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use peer::*;
use scripted::*;
use wirelet::{Config, Error, Event, Keepalive, Role, WebSocket};

/// Messages, and control frames, that one poll may take.
const MESSAGES: usize = 1024;

/// Bytes that one poll may receive, and half of what it may write.
const BYTES: usize = 1 << 20;

/// Bytes that one poll may make of what it has received.
#[cfg(feature = "deflate")]
const DECOMPRESSED: usize = 256 * 1024;

/// Bytes that arrive in a test.
const FLOOD: usize = 4 << 20;

/// What a handler has got.
#[derive(Clone, Default)]
struct Got {
    messages: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
}

impl Got {
    fn count(&self, bytes: usize) {
        self.messages.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }
}

fn config() -> Config {
    Config { keepalive: Keepalive::off(), ..Config::new() }
}

/// `wire` again and again, [`FLOOD`] bytes at least.
fn flood(wire: &[u8]) -> Vec<u8> {
    wire.repeat(FLOOD.div_ceil(wire.len()))
}

/// What each poll of a connection's task did until everything that had arrived was read.
struct Polls {
    count: usize,
    /// The most messages of one poll, and the most bytes that were read in one.
    most: (usize, usize),
    /// The most bytes that were written in one poll.
    written: usize,
}

/// Polls `task` as long as `script` has something for it.
async fn polls<F: Future>(task: F, script: &Script, got: &Got) -> Polls {
    let mut task = Task::new(task);
    let mut polls = Polls { count: 0, most: (0, 0), written: 0 };
    let seen = || (got.messages.load(Relaxed), script.read(), script.written());
    let mut before = seen();
    // The last poll leaves nothing behind.
    while task.is_woken().await {
        assert!(task.poll().is_pending(), "the connection has ended");
        polls.count += 1;
        let now = seen();
        polls.most = (polls.most.0.max(now.0 - before.0), polls.most.1.max(now.1 - before.1));
        polls.written = polls.written.max(now.2 - before.2);
        before = now;
    }
    assert!(script.is_drained(), "it was not woken although there is more");
    polls
}

#[track_caller]
fn assert_bounded(polls: &Polls, what: &str) {
    let (messages, bytes) = polls.most;
    assert!(messages <= MESSAGES, "{what}: {messages} in one poll");
    assert!(bytes <= BYTES, "{what}: {bytes} bytes received in one poll");
}

async fn receive(mut ws: WebSocket, got: Got) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        got.count(message.len());
    }
    Ok(())
}

async fn echo(mut ws: WebSocket, got: Got) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        got.count(message.len());
        ws.send(message).await?;
    }
    Ok(())
}

async fn events(mut ws: WebSocket, got: Got) -> Result<(), Error> {
    while let Some(event) = ws.recv_event().await? {
        got.count(if let Event::Message(message) = &event { message.len() } else { 0 });
    }
    Ok(())
}

/// A connection over a stream on which [`FLOOD`] bytes of `wire` have arrived.
fn flooded(wire: &[u8]) -> (WebSocket, Script, usize) {
    let (stream, script) = scripted(usize::MAX);
    let wire = flood(wire);
    script.say(&wire);
    (WebSocket::from_upgraded(stream, Role::Server, Arc::new(config()), &[]), script, wire.len())
}

/// One poll took 620,000 messages of one byte.
#[tokio::test(start_paused = true)]
async fn a_flood_of_tiny_messages_held_the_thread() {
    let message = client_frame(BINARY, b"x");
    let (ws, script, len) = flooded(&message);
    let got = Got::default();
    let seen = polls(ws.drive(|ws| receive(ws, got.clone())), &script, &got).await;
    assert_bounded(&seen, "messages");
    assert_eq!(got.messages.load(Relaxed), len / message.len());

    let (ws, script, len) = flooded(&message);
    let got = Got::default();
    let seen = polls(ws.drive(|ws| echo(ws, got.clone())), &script, &got).await;
    assert_bounded(&seen, "echoes");
    assert_eq!(script.written(), len / message.len() * 3);
}

/// The same without a task: whoever receives in a loop lets others have their turn.
#[tokio::test(start_paused = true)]
async fn a_flood_held_the_thread_of_a_connection_without_a_task() {
    let message = client_frame(BINARY, b"x");
    for echoes in [false, true] {
        let (ws, script, len) = flooded(&message);
        let got = Got::default();
        let seen = match echoes {
            true => polls(echo(ws, got.clone()), &script, &got).await,
            false => polls(receive(ws, got.clone()), &script, &got).await,
        };
        assert_bounded(&seen, "messages");
        assert_eq!(got.messages.load(Relaxed), len / message.len());
        assert_eq!(script.written(), if echoes { len / message.len() * 3 } else { 0 });
    }
}

/// The same with empty messages and with empty fragments.
#[tokio::test(start_paused = true)]
async fn a_flood_of_nothing_held_the_thread() {
    let (ws, script, len) = flooded(&client_frame(BINARY, b""));
    let got = Got::default();
    let seen = polls(ws.drive(|ws| receive(ws, got.clone())), &script, &got).await;
    assert_bounded(&seen, "messages");
    assert_eq!(got.messages.load(Relaxed), len / 6);
    // A message of 1,000 empty fragments.
    let mut wire = client_frame(0x02, b"");
    wire.extend(client_frame(0x00, b"").repeat(998));
    wire.extend(client_frame(0x80, b""));
    let (ws, script, len) = flooded(&wire);
    let got = Got::default();
    let seen = polls(ws.drive(|ws| receive(ws, got.clone())), &script, &got).await;
    assert_bounded(&seen, "messages");
    assert_eq!(got.messages.load(Relaxed), len / wire.len());
}

/// Messages of 64 KiB and of 1 MiB: their bytes are bounded.
#[tokio::test(start_paused = true)]
async fn a_flood_of_large_messages_held_the_thread() {
    for len in [1000, 64 * 1024, 1 << 20] {
        let wire = client_frame(BINARY, &vec![7; len]);
        let (ws, script, total) = flooded(&wire);
        let got = Got::default();
        let seen = polls(ws.drive(|ws| echo(ws, got.clone())), &script, &got).await;
        assert_bounded(&seen, "messages");
        assert_eq!(got.messages.load(Relaxed), total / wire.len());
    }
}

/// The same with pings, whose pongs are counted, and with pongs.
#[tokio::test(start_paused = true)]
async fn a_flood_of_control_frames_held_the_thread() {
    for first in [PING, PONG] {
        for len in [0, 125] {
            let wire = client_frame(first, &vec![7; len]);
            // Seen by the handler.
            let (ws, script, total) = flooded(&wire);
            let got = Got::default();
            let seen = polls(ws.drive(|ws| events(ws, got.clone())), &script, &got).await;
            assert_bounded(&seen, "control frames");
            // They are kept from the handler's first call on; some may have come before that.
            let (count, all) = (got.messages.load(Relaxed), total / wire.len());
            assert!(count <= all && count + MESSAGES >= all, "{count} of {all}");
            // Seen by nobody.
            let (ws, script, total) = flooded(&wire);
            let got = Got::default();
            let seen = polls(ws.drive(|ws| receive(ws, got.clone())), &script, &got).await;
            assert_bounded(&seen, "control frames");
            let least = (total / wire.len()).div_ceil(MESSAGES);
            assert!(seen.count >= least, "{} polls for {} frames", seen.count, total / wire.len());
            if first == PING {
                // RFC 6455 5.5.3: of pings that wait together the latest may be the only one that is answered.
                assert!(script.written() > 0);
                assert!(seen.written <= MESSAGES * (2 + len), "{} bytes of pongs in one poll", seen.written);
            }
        }
    }
}

/// What a `Sender` queues without end leaves in bounded pieces, too.
#[tokio::test(start_paused = true)]
async fn a_flood_by_a_sender_held_the_thread() {
    let (stream, script) = scripted(usize::MAX);
    let mut config = config();
    config.limits.queued = 64 << 20;
    let ws = WebSocket::from_upgraded(stream, Role::Server, Arc::new(config), &[]);
    let sender = ws.sender();
    for _ in 0..100_000 {
        sender.try_send("x").unwrap();
    }
    for _ in 0..100 {
        sender.try_send(vec![7; 64 * 1024]).unwrap();
    }
    let got = Got::default();
    let seen = polls(ws.drive(|ws| receive(ws, got.clone())), &script, &got).await;
    assert_eq!(script.written(), 100_000 * 3 + 100 * (10 + 64 * 1024));
    assert!(seen.written <= 2 * BYTES, "{} bytes written in one poll", seen.written);
}

#[cfg(feature = "deflate")]
mod compressed {
    use wirelet::proto::Extensions;
    use wirelet::proto::Upgraded;
    use wirelet::proto::deflate::Params;
    use wirelet::{Compression, Delivery};

    use super::*;

    const MODES: [Compression; 3] =
        [Compression::shared(), Compression::windowed(4096), Compression::dedicated(15)];

    fn compressed(delivery: Delivery, compression: &Compression, wire: &[u8]) -> (WebSocket, Script, usize) {
        let (stream, script) = scripted(usize::MAX);
        let wire = flood(wire);
        script.say(&wire);
        let settings = compression.settings().unwrap();
        let params = Params { server: settings.outgoing, client: settings.incoming };
        let upgraded = Upgraded { extensions: Extensions::deflate(params), ..Upgraded::default() };
        let config = Arc::new(Config { delivery, ..config() });
        let ws = WebSocket::with_compression(stream, Role::Server, config, upgraded, compression, &[]);
        (ws, script, wire.len())
    }

    async fn chunks(mut ws: WebSocket, got: Got) -> Result<(), Error> {
        while let Some(chunk) = ws.recv_chunk().await? {
            got.count(chunk.data.len());
        }
        Ok(())
    }

    /// One connection held a thread for 1.7 s with messages that are 1 MiB when they are decompressed, which is legal.
    #[tokio::test(start_paused = true)]
    async fn a_flood_of_bombs_held_the_thread() {
        const LEN: usize = 1 << 20;
        // As many as are 64 MiB; more would only take longer.
        let wire = client_frame(BINARY | 0x40, &blocks::bomb(LEN));
        let bombs = wire.repeat(64);
        for compression in &MODES {
            for delivery in [Delivery::Messages, Delivery::Chunks] {
                let (stream, script) = scripted(usize::MAX);
                script.say(&bombs);
                let settings = compression.settings().unwrap();
                let params = Params { server: settings.outgoing, client: settings.incoming };
                let upgraded = Upgraded { extensions: Extensions::deflate(params), ..Upgraded::default() };
                let config = Arc::new(Config { delivery, ..config() });
                let ws =
                    WebSocket::with_compression(stream, Role::Server, config, upgraded, compression, &[]);
                let got = Got::default();
                let seen = polls(ws.drive(|ws| chunks(ws, got.clone())), &script, &got).await;
                assert_eq!(got.bytes.load(Relaxed), 64 * LEN);
                assert_bounded(&seen, "chunks");
                // All but a few bytes were decompressed in these polls.
                let least = 64 * LEN / DECOMPRESSED;
                assert!(seen.count >= least, "{compression:?} {delivery:?}: 64 MiB in {} polls", seen.count);
            }
        }
    }

    /// Blocks of which each costs a decompressor a table, and makes nothing: 17 MB of them held two threads for 5.4 s.
    #[tokio::test(start_paused = true)]
    async fn a_flood_of_empty_blocks_held_the_thread() {
        for (what, blocks) in blocks::WORST {
            let wire = client_frame(BINARY | 0x40, &blocks(1 << 20));
            for compression in &MODES {
                for delivery in [Delivery::Messages, Delivery::Chunks] {
                    let (ws, script, total) = compressed(delivery, compression, &wire);
                    let got = Got::default();
                    let seen = polls(ws.drive(|ws| chunks(ws, got.clone())), &script, &got).await;
                    assert_bounded(&seen, what);
                    assert_eq!(got.bytes.load(Relaxed), 0, "{what}");
                    assert!(got.messages.load(Relaxed) >= total / wire.len(), "{what}");
                    // Messages were decompressed as they came, not in one go at their end.
                    assert!(
                        seen.count >= total / DECOMPRESSED,
                        "{what}: {} polls for {total} bytes",
                        seen.count
                    );
                }
            }
        }
    }

    /// Stored blocks, which cost little, weighed as much as those that describe codes: 4 KiB of them were a poll's work, and a
    /// flood of them was taken at 0.7 of the speed.
    #[tokio::test(start_paused = true)]
    async fn stored_blocks_weighed_as_much_as_dynamic_ones() {
        // 128 KiB are read; 128 KiB is all the work, of which a byte of a description is 32.
        let (cheap, dear) = (128 * 1024, 4 * 1024);
        let kinds = [
            ("empty stored blocks", blocks::empty_stored(1 << 20), cheap),
            ("stored bytes", stored(1 << 20), cheap),
            ("empty dynamic blocks", blocks::empty_dynamic(1 << 20), dear),
            ("heavy dynamic blocks", blocks::heavy_dynamic(1 << 20), dear),
        ];
        let ways = [
            (Compression::shared(), Delivery::Messages),
            (Compression::dedicated(15), Delivery::Messages),
            (Compression::shared(), Delivery::Chunks),
        ];
        for (what, payload, each) in kinds {
            let wire = client_frame(BINARY | 0x40, &payload);
            for (compression, delivery) in &ways {
                let (ws, script, total) = compressed(*delivery, compression, &wire);
                let got = Got::default();
                let seen = polls(ws.drive(|ws| chunks(ws, got.clone())), &script, &got).await;
                let bounds = total * 3 / 4 / each..=total * 2 / each;
                assert!(bounds.contains(&seen.count), "{what}: {} polls, not {bounds:?}", seen.count);
            }
        }
    }

    /// Blocks of a kilobyte as it is.
    fn stored(len: usize) -> Vec<u8> {
        let mut bytes = [&[0, 0, 4, 0xff, 0xfb][..], &[7; 1024]].concat().repeat(len / 1029);
        bytes.push(0);
        bytes
    }
}
