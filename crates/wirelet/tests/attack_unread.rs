//! Peers that don't read what they are sent, and floods of control frames. Class C.

mod hostile;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use hostile::*;
use wirelet::server::{Context, Router, ws, ws_with};
use wirelet::{Error, Limits, Message, Sender, SlowReceiver, TrySendError, WebSocket};

/// What is in the server's and the peer's socket buffers is no memory of the server's process, and it is megabytes:
/// attacks send more than that.
const PLENTY: usize = 64 << 20;

/// Memory that one peer may keep busy by not reading what an echo with messages of `message` bytes sends to it, bytes:
/// what is queued (the high-water mark may be crossed by one message), the message that the handler wants to send, and
/// the next one, which is received ahead, in memory that may be about to be replaced by larger memory.
const fn echo_that_waits(message: usize) -> usize {
    HIGH_WATER + message + message + 2 * message + WORKING + 4 * CONNECTION
}

#[test]
fn a_peer_that_never_reads_its_echoes_stops_being_read() {
    for message in [100, 8 * 1024, 256 * 1024, 1 << 20] {
        let site = Site::echo(|server| server);
        let mut good = site.open();
        let start = site.zone.mark();
        let mut attacker = Peer::open_narrow(site.address, "/ws");
        let wire = frame(BINARY, &vec![1; message]).repeat((64 * 1024 / message).max(1));
        std::thread::scope(|scope| {
            let attack = scope.spawn(|| attacker.write_until_blocked(&wire));
            while !attack.is_finished() {
                good.echo_100();
            }
            println!("{} bytes were taken", attack.join().unwrap());
        });
        // It still doesn't read.
        good.echo_100();
        site.assert_peak(start, echo_that_waits(message));
        assert_eq!(site.handle.count(), 2);
        // It has not read what came: the connection is reset.
        drop(attacker);
        site.wait_for_count(1);
    }
}

#[test]
fn a_handler_that_sends_without_end_waits_for_its_peer() {
    const PIECE: usize = 16 * 1024;
    let site = Site::start(
        || {
            routes().ws(
                "/endless",
                ws(|mut ws: WebSocket, _| async move {
                    loop {
                        ws.send(vec![5; PIECE]).await?;
                    }
                    #[allow(unreachable_code)]
                    Ok::<_, Error>(())
                }),
            )
        },
        |server| server,
    );
    let mut good = site.open();
    let start = site.zone.mark();
    // One that reads nothing; then one that reads a lot, which must not keep the server busy for itself either.
    let mut attacker = Peer::open_narrow(site.address, "/endless");
    good.echo_100();
    good.echo_100();
    site.assert_peak(start, HIGH_WATER + 2 * PIECE + WORKING + 4 * CONNECTION);
    echoes_during(&mut good, || assert_eq!(attacker.frame().1.len(), PIECE));
    site.assert_peak(start, HIGH_WATER + 2 * PIECE + WORKING + 4 * CONNECTION);
}

/// The size of the messages of the senders' tests, bytes.
const PIECE: usize = 16 * 1024;

/// What a sender may keep busy: the queue with its limit, where each message counts 40 bytes for itself (the vector
/// behind the queue may be twice as large as its content: as much again at most); what is queued in the connection
/// behind it; one message that is being handed over and one that is handed back.
fn sender_that_waits(limits: &Limits) -> usize {
    limits.queued
        + 2 * 40 * (limits.queued / PIECE + 1)
        + HIGH_WATER
        + PIECE
        + 2 * PIECE
        + WORKING
        + 4 * CONNECTION
}

#[derive(Debug, Default)]
struct Seen {
    /// Messages that were accepted before the policy fired.
    sent: AtomicUsize,
    /// The policy has fired.
    fired: AtomicBool,
    /// The handler has done what it wanted to.
    done: AtomicBool,
}

fn numbered(n: usize) -> Message {
    let mut payload = vec![0; PIECE];
    payload[..8].copy_from_slice(&(n as u64).to_be_bytes());
    payload.into()
}

fn number(payload: &[u8]) -> usize {
    u64::from_be_bytes(*payload.first_chunk().unwrap()) as usize
}

/// A server whose `/flood` sends numbered messages by a sender with `policy`, as `flood` does.
fn flooding<F, Fut>(policy: SlowReceiver, flood: F) -> (Site, Arc<Seen>)
where
    F: Fn(Sender, Arc<Seen>) -> Fut + Send + Sync + Copy + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let seen = Arc::new(Seen::default());
    let state = Arc::clone(&seen);
    let handler = move |mut ws: WebSocket, _: Context, seen: Arc<Seen>| async move {
        flood(ws.sender().with_policy(policy), Arc::clone(&seen)).await;
        seen.done.store(true, SeqCst);
        while let Ok(Some(_)) = ws.recv().await {}
    };
    let router = move || -> Router { routes().ws("/flood", ws_with(state, handler)) };
    (Site::start(router, |server| server), seen)
}

/// Runs the attack up to the end of `flood`, or until the policy has fired, with 100 echoes at least during it.
fn attack(site: &Site, seen: &Seen) -> Peer {
    let mut good = site.open();
    let start = site.zone.mark();
    let attacker = Peer::open_narrow(site.address, "/flood");
    while !seen.fired.load(SeqCst) {
        good.echo("during the attack");
    }
    good.echo_100();
    site.assert_peak(start, sender_that_waits(&Limits::new()));
    attacker
}

#[test]
fn wait_hands_the_message_back_waits_and_loses_nothing() {
    let (site, seen) = flooding(SlowReceiver::Wait, |sender, seen| async move {
        let mut n = 0;
        let back = loop {
            match sender.try_send(numbered(n)) {
                Ok(()) => n += 1,
                Err(TrySendError::Full(back)) => break back,
                Err(TrySendError::Closed(_)) => panic!("it is open"),
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(back, numbered(n));
        assert!(sender.queued() <= Limits::new().queued);
        seen.sent.store(n, SeqCst);
        seen.fired.store(true, SeqCst);
        // This waits until the peer reads.
        for n in n..n + 200 {
            if sender.send(numbered(n)).await.is_err() {
                return;
            }
        }
    });
    let mut attacker = attack(&site, &seen);
    let before_it_waited = seen.sent.load(SeqCst);
    for n in 0..before_it_waited + 200 {
        let (first, payload) = attacker.frame();
        assert_eq!((first, number(&payload)), (BINARY, n));
    }
    eventually("the handler's last message", || seen.done.load(SeqCst));
    attacker.close();
}

/// Sends more than all buffers hold together.
async fn send_plenty(sender: Sender, seen: Arc<Seen>) {
    for n in 0..PLENTY / PIECE {
        sender.try_send(numbered(n)).expect("the policy says what becomes of it");
        tokio::task::yield_now().await;
    }
    seen.sent.store(PLENTY / PIECE, SeqCst);
    seen.fired.store(true, SeqCst);
}

/// The numbers that arrive, up to the answer to a ping.
fn received(attacker: &mut Peer) -> Vec<usize> {
    attacker.send(&frame(PING, b"the end"));
    let mut numbers = Vec::new();
    loop {
        match attacker.frame() {
            (BINARY, payload) => numbers.push(number(&payload)),
            (first, payload) => {
                assert_eq!((first, &payload[..]), (PONG, &b"the end"[..]));
                return numbers;
            }
        }
    }
}

/// Pongs may overtake what waits in the queue: what comes behind the pong counts as well.
fn received_in_all(attacker: &mut Peer) -> Vec<usize> {
    let mut numbers = Vec::new();
    loop {
        let more = received(attacker);
        if more.is_empty() && !numbers.is_empty() {
            return numbers;
        }
        numbers.extend(more);
    }
}

#[test]
fn drop_newest_keeps_the_beginning() {
    let (site, seen) = flooding(SlowReceiver::DropNewest, send_plenty);
    let mut attacker = attack(&site, &seen);
    let numbers = received_in_all(&mut attacker);
    assert!(numbers.len() < PLENTY / PIECE, "nothing was dropped");
    assert!(numbers.iter().copied().eq(0..numbers.len()), "{numbers:?}");
    attacker.close();
}

#[test]
fn drop_oldest_keeps_the_end() {
    let (site, seen) = flooding(SlowReceiver::DropOldest, send_plenty);
    let mut attacker = attack(&site, &seen);
    let numbers = received_in_all(&mut attacker);
    assert!(numbers.len() < PLENTY / PIECE, "nothing was dropped");
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    // The queue holds as many as fit, and these are the last ones.
    let kept = Limits::new().queued / (PIECE + 40);
    assert!(numbers.ends_with(&(PLENTY / PIECE - kept..PLENTY / PIECE).collect::<Vec<_>>()), "{numbers:?}");
    attacker.close();
}

#[test]
fn close_ends_the_connection_with_1013() {
    let (site, seen) = flooding(SlowReceiver::Close, |sender, seen| async move {
        let mut n = 0;
        while let Ok(()) = sender.try_send(numbered(n)) {
            n += 1;
            tokio::task::yield_now().await;
        }
        assert!(sender.is_closed());
        seen.sent.store(n, SeqCst);
        seen.fired.store(true, SeqCst);
    });
    let mut attacker = attack(&site, &seen);
    assert!(seen.sent.load(SeqCst) > Limits::new().queued / (PIECE + 40));
    // What had left the queue arrives whole before it.
    assert_eq!(attacker.close_code(), 1013);
}

/// Pongs that nobody reads are queued up to the high-water mark; beyond it, of pings that wait, the latest counts.
#[test]
fn a_ping_flood_from_a_peer_that_does_not_read_pongs() {
    let site = Site::echo(|server| server);
    let mut good = site.open();
    let start = site.zone.mark();
    let mut attacker = Peer::open_narrow(site.address, "/ws");
    let pings = frame(PING, &[b'p'; 125]).repeat(500);
    let mut sent = 0;
    echoes_during(&mut good, || {
        // More than the socket buffers hold.
        while sent < PLENTY / 4 {
            attacker.send(&pings);
            sent += pings.len();
        }
        attacker.send(&pings);
    });
    site.assert_peak(start, HIGH_WATER + WORKING + 4 * CONNECTION);
    site.assert_largest_is_a_block();
    attacker.send(&frame(PING, b"the last one"));
    let mut pongs = 0;
    loop {
        match attacker.frame() {
            (PONG, payload) if payload == b"the last one" => break,
            (first, payload) => assert_eq!((first, payload), (PONG, vec![b'p'; 125])),
        }
        pongs += 1;
    }
    println!("{pongs} pongs");
}

#[test]
fn pong_and_close_floods_cost_nothing() {
    let site = Site::echo(|server| server);
    let mut good = site.open();
    let start = site.zone.mark();
    let pongs = frame(PONG, &[b'p'; 125]).repeat(20_000);
    echoes_during(&mut good, || {
        let mut attacker = site.open();
        attacker.send(&pongs);
        attacker.echo("unharmed");
        attacker.close();
    });
    site.assert_small(start);
    // RFC 6455 5.5.1: one close frame is answered with one; what follows it is discarded.
    let closes = frame(CLOSE, &1000_u16.to_be_bytes()).repeat(100_000);
    let start = site.zone.mark();
    echoes_during(&mut good, || {
        let mut attacker = site.open();
        let _ = attacker.try_send(&closes);
        attacker.finish_writing();
        assert_eq!(attacker.close_code(), 1000);
    });
    site.assert_small(start);
}

/// A queue that is longer than what is written at a time is written to its end, without anything else that happens.
#[test]
fn all_that_a_sender_has_queued_leaves_by_itself() {
    const MESSAGES: usize = 60;
    let (site, _) = flooding(SlowReceiver::Wait, |sender, _| async move {
        (0..MESSAGES).for_each(|n| sender.try_send(numbered(n)).expect("60 of 16 KiB are less than 1 MiB"));
    });
    let mut peer = Peer::open(site.address, "/flood");
    for n in 0..MESSAGES {
        assert_eq!(number(&peer.frame().1), n);
    }
    peer.close();
}
