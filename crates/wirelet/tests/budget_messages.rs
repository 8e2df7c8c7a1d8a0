//! What messages cost on real sockets: system calls, as the system counts them, and allocations.

mod hostile;

use std::io::{Read, Write};

use hostile::*;

/// Round trips that are counted.
const ROUNDS: usize = 50;

#[test]
#[ignore = "the server of the tests below, in a process of its own"]
fn served() {
    hostile::child::serve();
}

fn strace_works() -> bool {
    let tried = std::process::Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    tried.is_ok_and(|output| output.status.success())
}

/// Reads and writes of the connection in a trace: the calls on the descriptor of its socket, the last one that was
/// accepted.
fn calls(trace: &str) -> (usize, usize) {
    // Another thread's call may stand between the two halves of a line: "accept4(… <unfinished ...>", "<... accept4 resumed>… = 9".
    let mut accepted = trace.lines().filter(|line| line.contains("accept4")).filter_map(|line| {
        let (_, result) = line.rsplit_once("= ")?;
        result.trim().parse::<u32>().ok()
    });
    let descriptor = accepted.next_back().expect("a connection");
    let count = |names: &[&str]| {
        let calls: Vec<_> = names.iter().map(|name| format!("{name}({descriptor},")).collect();
        trace.lines().filter(|line| calls.iter().any(|call| line.contains(call))).count()
    };
    (count(&["read", "readv", "recvfrom", "recvmsg"]), count(&["write", "writev", "sendto", "sendmsg"]))
}

/// 16 messages in one segment: one read, one write. The handshake: one read and one write, and one read more that finds
/// nothing, since a socket is tried before it is waited for.
#[test]
fn sixteen_messages_in_one_segment_cost_one_recv_and_one_send() {
    if !strace_works() {
        println!("SKIPPED: system calls are counted with strace, which is not here, or may not trace");
        return;
    }
    const HANDSHAKE: (usize, usize) = (2, 1);
    let file = std::env::temp_dir().join(format!("wirelet-calls-{}", std::process::id()));
    for (size, in_flight) in [(20, 1), (20, 16), (1024, 16)] {
        let path = file.display().to_string();
        let traced = "trace=accept4,read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg";
        let mut served =
            child::Served::start(&["strace", "-f", "-qq", "-s", "1", "-e", traced, "-o", &path], "served");
        let mut peer = served.open();
        let messages = frame(BINARY, &vec![7; size]).repeat(in_flight);
        for _ in 0..ROUNDS {
            peer.send(&messages);
            for _ in 0..in_flight {
                assert_eq!(peer.frame().1.len(), size);
            }
        }
        served.stop();
        let trace = std::fs::read_to_string(&file).unwrap();
        let _ = std::fs::remove_file(&file);
        let (reads, writes) = calls(&trace);
        println!("{ROUNDS} rounds of {in_flight} x {size} bytes: {reads} reads, {writes} writes");
        assert!(reads <= ROUNDS + HANDSHAKE.0, "{reads} reads for {ROUNDS} rounds of {in_flight}");
        assert!(writes <= ROUNDS + HANDSHAKE.1, "{writes} writes for {ROUNDS} rounds of {in_flight}");
        // Each round was at least one of both: the trace is one of this connection.
        assert!(reads >= ROUNDS && writes >= ROUNDS, "{reads} reads, {writes} writes");
    }
}

/// Not one in 10,000 echoes, after 100 that fill the pool.
#[test]
fn an_echo_in_steady_state_allocates_nothing() {
    let site = Site::echo(|server| server);
    for (size, in_flight) in [(20, 1), (20, 16), (1024, 1), (1024, 16)] {
        let mut peer = site.open();
        let messages = frame(BINARY, &vec![7; size]).repeat(in_flight);
        let header = if size < 126 { 2 } else { 4 };
        let mut answers = vec![0; in_flight * (size + header)];
        let mut exchange = |echoes: usize| {
            for _ in 0..echoes / in_flight {
                peer.stream.write_all(&messages).unwrap();
                peer.stream.read_exact(&mut answers).unwrap();
            }
        };
        exchange(160);
        site.zone.mark();
        exchange(10_000);
        assert_eq!(site.zone.count(), 0, "{in_flight} x {size} bytes");
    }
}

/// A handler broadcasts to 100 connections. While they wait, it is the shared message and one list of the connections,
/// and nothing for a delivery. Of 16 at once, the queue of each connection grows as well.
#[test]
fn a_broadcast_in_steady_state_allocates_nothing_for_a_delivery() {
    const CONNECTIONS: usize = 100;
    const BROADCASTS: usize = 320;
    let site = Site::echo(|server| server);
    let mut peers: Vec<Peer> = (0..CONNECTIONS).map(|_| Peer::open(site.address, "/tell")).collect();
    let payload = [7; 64];
    for (in_flight, most) in [(1, 3), (16, 21)] {
        let messages = frame(BINARY, &payload).repeat(in_flight);
        let expected = [&[BINARY, payload.len() as u8], &payload[..]].concat().repeat(in_flight);
        let mut received = vec![0; expected.len()];
        let mut exchange = || {
            for _ in 0..BROADCASTS / in_flight {
                peers[0].send(&messages);
                for peer in &mut peers {
                    peer.stream.read_exact(&mut received).unwrap();
                    assert!(received == expected);
                }
            }
        };
        exchange();
        site.zone.mark();
        exchange();
        let count = site.zone.count();
        println!("{in_flight} in flight: {count} allocations for {BROADCASTS} broadcasts to {CONNECTIONS}");
        assert!(count <= most * BROADCASTS, "{in_flight} in flight: {count} allocations for {BROADCASTS}");
    }
}

/// Connections that wait for a message in the middle of a fragmented one, or of a frame, keep what has arrived of it and
/// little more: at most four times as much and 256 bytes, and 1.5 KiB as every idle connection; the handler's own state
/// counts as well here (at most 256 bytes: the future of an echo).
#[test]
fn connections_with_a_part_of_a_message_hold_that_part_and_no_block() {
    const CONNECTIONS: usize = 200;
    const HANDLER: usize = 256;
    let site = Site::echo(|server| server);
    for (what, part, held) in [
        ("idle", vec![], 0),
        ("a byte of a header", vec![BINARY], 1),
        ("100 bytes of 1 MB", [header(BINARY, 1_000_000), vec![7; 100]].concat(), 110),
        ("a first fragment", frame(0x02, &[7; 1000]), 1000),
    ] {
        let before = site.live_without_blocks();
        let mut peers: Vec<Peer> = (0..CONNECTIONS).map(|_| site.open()).collect();
        for peer in &mut peers {
            // It has sent 64 KiB before, for which a block was needed.
            peer.send(&frame(BINARY, &[7; 65_536]));
            assert_eq!(peer.frame().1.len(), 65_536);
            peer.ping(b"");
            peer.send(&part);
        }
        // All of it has been read when nothing changes any more.
        let mut live = site.live_without_blocks();
        eventually("rest", || {
            std::thread::sleep(std::time::Duration::from_millis(100));
            let last = std::mem::replace(&mut live, site.live_without_blocks());
            last == live
        });
        let each = (live - before) / CONNECTIONS as isize;
        println!("{what}: {each} bytes for each connection");
        let memory = if held == 0 { 0 } else { 4 * held + 256 };
        assert!(each <= (1536 + HANDLER + memory) as isize, "{what}: {each} bytes for each connection");
        drop(peers);
        site.wait_for_count(0);
    }
}
