//! Reconnecting on a virtual clock (RFC 6455 7.2.3).

use wirelet_proto::reconnect::{Reconnect, ReconnectConfig, is_final};

const MAX: u32 = u32::MAX;
const CONFIG: ReconnectConfig = ReconnectConfig::DEFAULT;

/// The upper bounds of the next delays.
fn bounds(reconnect: &mut Reconnect, count: usize) -> Vec<u64> {
    (0..count).map(|_| reconnect.next_delay(MAX).unwrap()).collect()
}

#[test]
fn delays_grow_to_the_cap_and_stay_there() {
    let mut reconnect = Reconnect::new(CONFIG);
    assert_eq!(bounds(&mut reconnect, 7), [5_000, 10_000, 20_000, 40_000, 60_000, 60_000, 60_000]);
    assert_eq!(reconnect.attempts(), 7);
    let late = (0..100_000).map(|_| reconnect.next_delay(MAX)).next_back();
    assert_eq!(late, Some(Some(60_000)));
}

#[test]
fn delays_are_spread_over_the_whole_range() {
    let mut reconnect = Reconnect::new(CONFIG);
    assert_eq!(reconnect.next_delay(0), Some(0));
    assert_eq!(reconnect.next_delay(MAX / 2), Some(5_000));
    assert_eq!(reconnect.next_delay(MAX / 4), Some(5_000));
    // Every value of the range, equally often.
    let mut counts = [0u32; 10];
    for at in 0..1_000u32 {
        let mut small = Reconnect::new(ReconnectConfig { initial_max: 9, ..CONFIG });
        counts[small.next_delay(at * (MAX / 1_000)).unwrap() as usize] += 1;
    }
    assert!(counts.iter().all(|count| (99..=101).contains(count)), "{counts:?}");
}

#[test]
fn a_stable_connection_starts_over() {
    let mut reconnect = Reconnect::new(CONFIG);
    let mut now = 0;
    now += bounds(&mut reconnect, 3).iter().sum::<u64>();
    reconnect.connected(now);
    now += 30_000;
    reconnect.disconnected(now);
    assert_eq!(reconnect.attempts(), 0);
    assert_eq!(bounds(&mut reconnect, 2), [5_000, 10_000]);
}

#[test]
fn a_connection_that_drops_at_once_does_not() {
    let mut reconnect = Reconnect::new(CONFIG);
    let mut now = 0;
    for expected in [5_000, 10_000, 20_000, 40_000, 60_000, 60_000] {
        let delay = reconnect.next_delay(MAX).unwrap();
        assert_eq!(delay, expected);
        now += delay;
        reconnect.connected(now);
        now += 29_999;
        reconnect.disconnected(now);
    }
    // The end of an attempt that never connected is not the end of a connection.
    now += 1_000_000;
    reconnect.disconnected(now);
    assert_eq!(bounds(&mut reconnect, 1), [60_000]);
    // A clock that stands behind is no stable connection.
    reconnect.connected(now);
    reconnect.disconnected(0);
    assert_eq!(bounds(&mut reconnect, 1), [60_000]);
}

#[test]
fn attempts_may_be_bounded() {
    let mut reconnect = Reconnect::new(ReconnectConfig { max_attempts: Some(2), ..CONFIG });
    assert_eq!(bounds(&mut reconnect, 2), [5_000, 10_000]);
    assert_eq!(reconnect.next_delay(MAX), None);
    assert_eq!(reconnect.next_delay(0), None);
    reconnect.connected(0);
    reconnect.disconnected(30_000);
    assert_eq!(bounds(&mut reconnect, 2), [5_000, 10_000]);
    assert_eq!(reconnect.next_delay(MAX), None);
    reconnect.reset();
    assert_eq!(reconnect.next_delay(MAX), Some(5_000));
    assert_eq!(Reconnect::new(ReconnectConfig { max_attempts: Some(0), ..CONFIG }).next_delay(1), None);
}

#[test]
fn any_configuration_is_harmless() {
    for initial_max in [0, 1, MAX] {
        for factor in [0, 1, 3, MAX] {
            for cap in [0, 7, MAX] {
                let config = ReconnectConfig { initial_max, factor, cap, ..CONFIG };
                let mut reconnect = Reconnect::new(config);
                let delays = bounds(&mut reconnect, 40);
                assert!(
                    delays.is_sorted() && delays.iter().all(|delay| *delay <= u64::from(cap)),
                    "{config:?}"
                );
                assert_eq!(delays[0], u64::from(initial_max.min(cap)));
            }
        }
    }
}

#[test]
fn statuses() {
    let always = Reconnect::new(CONFIG);
    let stops = Reconnect::new(ReconnectConfig { stop_when_refused: true, ..CONFIG });
    for (status, last) in [
        (200, false),
        (301, true),
        (400, true),
        (401, true),
        (403, true),
        (404, true),
        (408, false),
        (410, true),
        (421, false),
        (425, false),
        (426, true),
        (429, false),
        (500, false),
        (501, true),
        (502, false),
        (503, false),
        (504, false),
        (505, true),
        (0, false),
        (999, false),
    ] {
        assert_eq!(is_final(status), last, "{status}");
        assert!(always.is_worth_retrying(status));
        assert_eq!(stops.is_worth_retrying(status), !last, "{status}");
    }
}

/// A server that asked to be left alone for ten minutes was asked again within seconds.
#[test]
fn a_server_that_asks_to_be_left_alone_was_not() {
    let config = ReconnectConfig { cap: 60_000, ..ReconnectConfig::DEFAULT };
    for random in [0, 1, u32::MAX / 2, u32::MAX] {
        for (least, waited) in
            [(0, 0), (7_000, 7_000), (60_000, 60_000), (600_000, 60_000), (u64::MAX, 60_000)]
        {
            let (mut asked, mut other) = (Reconnect::new(config), Reconnect::new(config));
            for _ in 0..8 {
                let behind = other.next_delay(random).unwrap();
                assert_eq!(asked.next_delay_after(least, random), Some(waited + behind));
                assert_eq!(asked.attempts(), other.attempts());
            }
        }
    }
    let mut last = Reconnect::new(ReconnectConfig { max_attempts: Some(1), ..config });
    assert!(last.next_delay_after(5, 0).is_some() && last.next_delay_after(5, 0).is_none());
}
