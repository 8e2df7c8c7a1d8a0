//! Connections in numbers: more than are allowed, half-open ones, and many that come and go.

mod hostile;

use hostile::*;
use wirelet::server::Capacity;

/// Tries until the server has room for one more.
fn open_when_there_is_room(site: &Site) -> Peer {
    let mut opened = None;
    eventually("room for a connection", || {
        let mut peer = site.connect();
        let asked = peer.try_send(upgrade_request("/ws", "").as_bytes());
        opened =
            asked.and_then(|()| peer.try_response()).is_ok_and(|(status, ..)| status == 101).then_some(peer);
        opened.is_some()
    });
    opened.unwrap()
}

/// What a refused connection costs nothing of, and an admitted one its handshake: a head that has begun is kept as it is.
#[test]
fn half_open_connections_are_limited_and_make_room_when_they_go() {
    const HALF: usize = 16;
    let site = Site::echo(|server| server.capacity(Capacity { handshakes: HALF, ..Capacity::default() }));
    let mut good = site.open();
    let start = site.zone.mark();
    echoes_during(&mut good, || {
        // Silent ones, and ones in the middle of their head. Those of the round before may not be gone yet.
        let mut half: Vec<Peer> = Vec::new();
        eventually("the limit", || {
            let mut peer = site.connect();
            if half.len() % 2 == 1 {
                let _ = peer.try_send(b"GET /ws HTTP/1.1\r\nHost: ");
            }
            half.push(peer);
            half.len() >= HALF
        });
        for _ in 0..3 {
            let (status, head, _) = site.connect().response();
            assert!(status == 503 && head.contains("retry-after: "), "{head}");
        }
        drop(half);
        open_when_there_is_room(&site).close();
    });
    site.assert_peak(start, WORKING + (HALF + 4) * CONNECTION);
    good.close();
}

#[test]
fn one_address_cannot_take_all_connections_and_all_addresses_not_more_than_there_are() {
    let capacity = Capacity {
        connections: 8,
        per_address: 4,
        handshakes: 8,
        proxies: Vec::new(),
        ..Capacity::default()
    };
    let site = Site::echo(move |server| server.capacity(capacity));
    let from = |last: u8| Peer::connect_from([127, 0, 0, last].into(), site.address);
    let open_from = |last: u8| {
        let mut peer = from(last);
        peer.upgrade("/ws");
        peer
    };
    let mut good = site.open();
    let start = site.zone.mark();
    // The first address is at its limit: the others are not concerned.
    let mut greedy: Vec<Peer> = (0..4).map(|_| open_from(2)).collect();
    echoes_during(&mut good, || assert_eq!(from(2).response().0, 503));
    let mut others: Vec<Peer> = (3..6).map(open_from).collect();
    // All eight are taken: nobody gets another one, whatever the address.
    echoes_during(&mut good, || {
        for last in [1, 2, 9] {
            assert_eq!(from(last).response().0, 503);
        }
    });
    others.iter_mut().chain(&mut greedy).for_each(|peer| peer.echo("still served"));
    greedy.pop().unwrap().close();
    others.push(open_when_there_is_room(&site));
    others.iter_mut().chain(&mut greedy).for_each(|peer| peer.echo("still served"));
    site.assert_peak(start, WORKING + 8 * CONNECTION);
}

/// All handshakes could be had from one address: as many silent connections locked everybody out, for as long as they were
/// renewed.
#[test]
fn silent_connections_of_one_address_locked_all_others_out() {
    let site = Site::echo(|server| {
        // Loopback is all that a test has: here it is no proxy.
        server.capacity(Capacity { proxies: Vec::new(), ..Capacity::default() })
    });
    let from = |last: u8| Peer::connect_from([127, 0, 0, last].into(), site.address);
    let mut good = site.open();
    let start = site.zone.mark();
    let silent: Vec<Peer> = (0..Capacity::default().handshakes_per_address).map(|_| from(2)).collect();
    echoes_during(&mut good, || {
        let (status, head, _) = from(2).response();
        assert!(status == 503 && head.contains("retry-after: "), "{head}");
        let mut other = from(3);
        other.upgrade("/ws");
        other.echo("served");
        other.close();
    });
    site.assert_peak(start, WORKING + (silent.len() + 4) * CONNECTION);
}

/// Connections that end in every way that there is leave nothing behind.
#[test]
fn two_thousand_connections_that_come_and_go_leave_nothing() {
    const CHURN: usize = 2000;
    let site = Site::echo(|server| server);
    let mut good = site.open();
    let come_and_go = |n: usize| match n % 8 {
        0 => drop(site.connect()),
        1 => site.connect().send(b"GET /ws HTTP/1.1\r\n"),
        2 => site.connect().get_page(),
        3 => site.open().close(),
        4 => drop(site.open()),
        5 => site.open().reset(),
        // In the middle of a message that holds a buffer.
        6 => site.open().send(&frame(BINARY, &[0; 40_000])[..30_000]),
        _ => {
            let mut peer = site.open();
            peer.echo("and gone");
            peer.send(&header(CLOSE, 126));
            assert_eq!(peer.close_code(), 1002);
        }
    };
    let gone = || {
        site.wait_for_count(1);
        // Handshakes and HTTP are not counted there: these two in turn have been noticed when the last is answered.
        let mut live = site.live_without_blocks();
        eventually("the same memory twice", || {
            let before = std::mem::replace(&mut live, site.live_without_blocks());
            before == live
        });
        live
    };
    (0..200).for_each(come_and_go);
    let before = gone();
    let mut n = 0;
    echoes_during(&mut good, || {
        (n..n + 100).for_each(come_and_go);
        n += 100;
    });
    (n..CHURN).for_each(come_and_go);
    let left = gone() - before;
    println!("{left} bytes are left of {CHURN} connections");
    assert_eq!(site.handle.count(), 1);
    // Less than the smallest thing that a connection could leave behind: a word of 8 bytes.
    assert!(left < 8 * CHURN as isize, "{left} bytes are left of {CHURN} connections");
}
