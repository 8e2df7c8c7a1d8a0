//! Records: split, joined, long, cut, forged; and futures that are dropped.

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use embedded_io_async::{Error as _, ErrorKind, Read, Write};

use super::super::support::both;
use super::support::*;
use crate::net::Socket as _;
use crate::time::yield_now;
use crate::tls::{Error, LONGEST_RECORD};

/// Text that is different everywhere.
fn text(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// Drops the future of `read` after each poll, and begins again.
async fn read(
    restless: bool,
    reader: &mut impl Read<Error = Error>,
    into: &mut [u8],
) -> Result<usize, Error> {
    if !restless {
        return reader.read(into).await;
    }
    poll_fn(|cx| pin!(reader.read(into)).poll(cx)).await
}

/// The same for `write`.
async fn write_all(
    restless: bool,
    writer: &mut impl Write<Error = Error>,
    mut from: &[u8],
) -> Result<(), Error> {
    while !from.is_empty() {
        let n = match restless {
            false => writer.write(from).await?,
            true => poll_fn(|cx| pin!(writer.write(from)).poll(cx)).await?,
        };
        from = &from[n..];
    }
    Ok(())
}

#[test]
fn nothing_is_lost_doubled_or_reordered() {
    let chain = Chain::new();
    let there = text(5_000);
    let back = text(40_000);
    for (capacity, restless) in
        [(1, false), (1, true), (7, true), (1000, false), (1000, true), (100_000, true)]
    {
        let ((), echoed) = talk::<LONGEST_RECORD, _, _>(
            capacity,
            "device",
            chain.client(),
            chain.server(),
            async |stream| {
                let mut stream = stream.unwrap();
                let (mut reader, mut writer) = stream.split();
                let read = async {
                    let (mut received, mut buffer) = (Vec::<u8>::new(), [0; 300]);
                    while received.len() < back.len() {
                        let n = read(restless, &mut reader, &mut buffer).await.unwrap();
                        received.extend(&buffer[..n]);
                    }
                    received
                };
                // At the same time: records go both ways while others are on their way.
                let (received, sent) = Box::pin(both(read, write_all(restless, &mut writer, &there))).await;
                sent.unwrap();
                assert!(received == back, "{capacity} {restless}");
                stream.shutdown().await.unwrap();
            },
            async |mut peer| {
                peer.handshake().await.unwrap();
                peer.send(&back).await;
                peer.rest().await
            },
        );
        assert!(echoed == there, "{capacity} {restless}");
    }
}

#[test]
fn records_of_every_length_fit_and_no_byte_more() {
    let chain = Chain::new();
    // The server's largest record, and a handshake in pieces of 64 bytes: messages, and tickets after it, come in many records.
    for (fragment, len) in [(None, 16_384), (Some(64), 2_000)] {
        let mut server = chain.server();
        server.max_fragment_size = fragment;
        server.send_tls13_tickets = 5;
        let back = text(len);
        talk::<LONGEST_RECORD, _, _>(
            500,
            "device",
            chain.client(),
            server,
            async |stream| {
                let mut stream = stream.unwrap();
                let (mut reader, mut writer) = stream.split();
                let mut received = vec![0; len];
                // Before the tickets have arrived, and while they do.
                let sent = write_all(true, &mut writer, b"ping");
                let (read, sent) = Box::pin(both(reader.read_exact(&mut received), sent)).await;
                read.unwrap();
                sent.unwrap();
                assert!(received == back);
            },
            async |mut peer| {
                peer.handshake().await.unwrap();
                assert_eq!(peer.take(4).await, b"ping");
                peer.send(&back).await;
            },
        );
    }
    // What is too long for the memory is an error of the caller's.
    let (error, ()) = talk::<4_096, _, _>(
        500,
        "device",
        chain.client(),
        chain.server(),
        async |stream| stream.unwrap().split().0.read(&mut [0; 10]).await,
        async |mut peer| {
            peer.handshake().await.unwrap();
            peer.send(text(16_384)).await;
        },
    );
    assert_eq!(error, Err(Error::TooLarge));
    assert_eq!(Error::TooLarge.kind(), ErrorKind::OutOfMemory);
    let (error, _) = talk::<512, _, _>(
        500,
        "device",
        chain.client(),
        chain.server(),
        async |stream| stream.map(drop),
        async |mut peer| peer.handshake().await,
    );
    assert_eq!(error, Err(Error::TooLarge));
}

/// rustls keeps the place of a message's first records in the memory, and must be shown them each time.
#[test]
fn a_write_waits_while_a_message_of_the_handshake_is_not_whole() {
    let chain = Chain::new();
    let mut server = chain.server();
    server.max_fragment_size = Some(64);
    server.send_tls13_tickets = 1;
    let waits = core::cell::Cell::new(false);
    talk::<LONGEST_RECORD, _, _>(
        2_000,
        "device",
        chain.client(),
        server,
        async |stream| {
            let mut stream = stream.unwrap();
            let (mut reader, mut writer) = stream.split();
            let mut pong = [0; 4];
            for _ in 0..10 {
                let nothing = poll_fn(|cx| Poll::Ready(pin!(reader.read(&mut pong)).poll(cx).is_pending()));
                assert!(nothing.await);
                yield_now().await;
            }
            let pending = poll_fn(|cx| Poll::Ready(pin!(writer.write(b"ping")).poll(cx).is_pending()));
            assert!(pending.await);
            waits.set(true);
            let (read, sent) = Box::pin(both(reader.read_exact(&mut pong), writer.write_all(b"ping"))).await;
            read.unwrap();
            sent.unwrap();
            assert_eq!(&pong, b"pong");
        },
        async |mut peer| {
            let tickets = peer.handshake_without_tickets().await;
            let first = 5 + usize::from(u16::from_be_bytes([tickets[3], tickets[4]]));
            assert!(first < tickets.len(), "a ticket comes in several records");
            let (first, rest) = tickets.split_at(first);
            peer.wire.split().1.write_all(first).await.unwrap();
            while !waits.get() {
                yield_now().await;
            }
            peer.wire.split().1.write_all(rest).await.unwrap();
            assert_eq!(peer.take(4).await, b"ping");
            peer.send(b"pong").await;
        },
    );
}

/// RFC 8446 4.6.3.
#[test]
fn keys_change_when_the_server_wants_it() {
    let chain = Chain::new();
    talk::<LONGEST_RECORD, _, _>(
        100,
        "device",
        chain.client(),
        chain.server(),
        async |stream| {
            let mut stream = stream.unwrap();
            let (mut reader, mut writer) = stream.split();
            for round in 0..5 {
                write_all(false, &mut writer, &[round; 3]).await.unwrap();
                let mut echoed = [0; 3];
                reader.read_exact(&mut echoed).await.unwrap();
                assert_eq!(echoed, [round; 3]);
            }
        },
        async |mut peer| {
            peer.handshake().await.unwrap();
            for round in 0..5 {
                assert_eq!(peer.take(3).await, [round; 3]);
                // The client's answer comes before its next record, which would not be understood otherwise.
                peer.connection.refresh_traffic_keys().unwrap();
                peer.send([round; 3]).await;
            }
        },
    );
}

#[test]
fn a_flood_of_key_updates_ends_the_connection() {
    let chain = Chain::new();
    let (error, ()) = talk::<LONGEST_RECORD, _, _>(
        100_000,
        "device",
        chain.client(),
        chain.server(),
        async |stream| stream.unwrap().split().0.read(&mut [0; 10]).await,
        async |mut peer| {
            peer.handshake().await.unwrap();
            for _ in 0..100 {
                peer.connection.refresh_traffic_keys().unwrap();
                peer.flush().await;
            }
        },
    );
    let reason = rustls::PeerMisbehaved::TooManyKeyUpdateRequests;
    assert_eq!(error, Err(Error::Tls(rustls::Error::PeerMisbehaved(reason))));
}

/// RFC 8446 6.1: the end is an alert; without it somebody may have cut the stream.
#[test]
fn an_end_without_notice_is_an_error() {
    let chain = Chain::new();
    for notice in [true, false] {
        let (outcome, ()) = talk::<LONGEST_RECORD, _, _>(
            100,
            "device",
            chain.client(),
            chain.server(),
            async |stream| {
                let mut stream = stream.unwrap();
                let (mut reader, mut writer) = stream.split();
                let mut last = [0; 4];
                reader.read_exact(&mut last).await.unwrap();
                let end = reader.read(&mut [0; 4]).await;
                // Said once is said for ever.
                assert_eq!(reader.read(&mut [0; 4]).await, end);
                if notice {
                    // The other direction is open.
                    write_all(false, &mut writer, b"bye").await.unwrap();
                }
                end
            },
            async |mut peer| {
                peer.handshake().await.unwrap();
                peer.send(b"last").await;
                if notice {
                    peer.finish().await;
                    assert_eq!(peer.take(3).await, b"bye");
                }
                peer.wire.shutdown().await.unwrap();
                while peer.receive().await.unwrap() {}
            },
        );
        assert_eq!(outcome, if notice { Ok(0) } else { Err(Error::Truncated) });
    }
    assert_eq!(Error::Truncated.kind(), ErrorKind::ConnectionAborted);
}

/// All bytes that the server sends in a handshake, and then `more`; each time changed by `change`.
fn tampered(chain: &Chain, more: &[u8], change: impl Fn(&mut Vec<u8>)) -> Result<usize, Error> {
    talk::<LONGEST_RECORD, _, _>(
        100_000,
        "device",
        chain.client(),
        chain.server(),
        async |stream| {
            let mut stream = stream?;
            let (mut reader, _) = stream.split();
            reader.read(&mut [0; 64]).await
        },
        async |mut peer| {
            // The first flight as rustls makes it.
            let mut hello = vec![0; 2048];
            let n = peer.wire.split().0.read(&mut hello).await.unwrap();
            peer.connection.read_tls(&mut &hello[..n]).unwrap();
            peer.connection.process_new_packets().unwrap();
            let mut flight = Vec::new();
            while peer.connection.wants_write() {
                peer.connection.write_tls(&mut flight).unwrap();
            }
            flight.extend(more);
            change(&mut flight);
            peer.wire.split().1.write_all(&flight).await.unwrap();
            peer.wire.shutdown().await.unwrap();
            while !matches!(peer.wire.split().0.read(&mut hello).await, Ok(0) | Err(_)) {}
        },
    )
    .0
}

#[test]
fn a_handshake_that_was_cut_is_none() {
    let chain = Chain::new();
    let mut len = usize::MAX;
    let mut cut = 0;
    while cut < len {
        let last = core::cell::Cell::new(0);
        let outcome = tampered(&chain, b"", |flight| {
            last.set(flight.len());
            flight.truncate(cut);
        });
        len = last.get() - 20; // its length depends on its signatures
        assert_eq!(outcome, Err(Error::Truncated), "{cut} of {len}");
        cut += 13;
    }
}

#[test]
fn a_flight_that_was_changed_is_refused_wherever_it_is() {
    let chain = Chain::new();
    for at in (0..1_200).step_by(7) {
        for change in [1_u8, 0x80, 0xff] {
            let outcome = tampered(&chain, b"", |flight| {
                // Behind the record's version, which nobody may look at (RFC 8446 5.1).
                let at = at % flight.len();
                if !(1..3).contains(&at) {
                    flight[at] ^= change;
                } else {
                    flight[0] ^= change;
                }
            });
            assert!(
                matches!(outcome, Err(Error::Tls(_) | Error::Truncated | Error::TooLarge)),
                "{at} {change} {outcome:?}"
            );
        }
    }
}

/// RFC 8446 5: nothing comes in the clear once there are keys.
#[test]
fn records_in_the_clear_are_refused() {
    let chain = Chain::new();
    let close_notify = [21, 3, 3, 0, 2, 1, 0];
    let text = [23, 3, 3, 0, 4, b't', b'e', b'x', b't'];
    let key_update = [22, 3, 3, 0, 5, 24, 0, 0, 1, 0];
    let change_cipher_spec = [20, 3, 3, 0, 1, 1];
    let nothing = [23, 3, 3, 0, 0];
    // A record that holds a tag and no text: without an inner content type.
    let empty = [&[23, 3, 3, 0, 16][..], &[7; 16]].concat();
    for record in [&close_notify[..], &text, &key_update, &change_cipher_spec, &nothing, &empty] {
        let outcome = tampered(&chain, record, |_| {});
        assert!(matches!(outcome, Err(Error::Tls(_))), "{record:?} {outcome:?}");
    }
}

#[test]
fn a_write_that_was_dropped_is_begun_again_with_its_bytes() {
    let chain = Chain::new();
    talk::<LONGEST_RECORD, _, _>(
        10,
        "device",
        chain.client(),
        chain.server_without_tickets(),
        async |stream| {
            let mut stream = stream.unwrap();
            let (_, mut writer) = stream.split();
            let begun = poll_fn(|cx| Poll::Ready(pin!(writer.write(b"begun")).poll(cx).is_pending()));
            assert!(begun.await);
            assert_eq!(writer.write(b"beg").await, Err(Error::Order));
            // More than the record holds: the rest is for the next one.
            assert_eq!(writer.write(b"begun and more").await, Ok(5));
            assert_eq!(writer.write(b" and more").await, Ok(9));
            assert_eq!(writer.flush().await, Ok(()));
        },
        async |mut peer| {
            peer.handshake().await.unwrap();
            assert_eq!(peer.take(14).await, b"begun and more");
        },
    );
}

#[test]
fn shutting_down_may_be_dropped_too() {
    let chain = Chain::new();
    let (_, rest) = talk::<LONGEST_RECORD, _, _>(
        3,
        "device",
        chain.client(),
        chain.server_without_tickets(),
        async |stream| {
            let mut stream = stream.unwrap();
            write_all(false, &mut stream.split().1, b"bye").await.unwrap();
            poll_fn(|cx| pin!(stream.shutdown()).poll(cx)).await.unwrap();
            stream.shutdown().await.unwrap();
        },
        async |mut peer| {
            let rest = peer.rest().await;
            // One alert, and it was the right one.
            assert!(peer.connection.process_new_packets().unwrap().peer_has_closed());
            rest
        },
    );
    assert_eq!(rest, b"bye");
}

#[test]
fn futures_are_small() {
    use crate::net::{Connect as _, Remote};
    use crate::tls::{Connector, Memory, Stream};

    let chain = Chain::new();
    let net = super::super::support::Net::new(1);
    let mut memory = Memory::<512, 512>::new();
    let mut connector = Connector::new(net, &mut memory, chain.client(), &|_| {});
    let connect = size_of_val(&connector.connect(Remote { host: "device", port: 443, secure: true }));
    let stream = size_of::<Stream<'_, super::super::support::Wire>>();
    std::println!("connecting: {connect} bytes; a connection besides its buffers and rustls: {stream} bytes");
    assert!(connect <= 1024 && stream <= 256, "{connect} {stream}");
}
