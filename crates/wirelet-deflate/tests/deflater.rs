//! The encoder's output is deflate's, and small.

use testkit::deflate::{Messages, References, TAIL, compress, decompress, deflater};
use testkit::random::Rng;
use testkit::telemetry::{Device, Telemetry};
use wirelet_deflate::{Deflater, Inflater};
use wirelet_proto::Flush;
use wirelet_proto::deflate::Window;

const ALL: &[usize] = &[usize::MAX];

/// Much room, at once.
const ROOM: &[usize] = &[1 << 16];

fn windows() -> impl Iterator<Item = Window> {
    (8..=12).flat_map(|bits| [Window::kept(bits), Window::fresh(bits)])
}

fn inflater(window: Window) -> Inflater<Vec<u8>> {
    Inflater::new(vec![0; 1 << window.bits], window).unwrap()
}

/// How many messages of each stream are tried; `bench/deflate/run.py` tries a million.
const MESSAGES: usize = 30;

#[test]
fn all_messages_come_back_through_zlib_rs_and_miniz_oxide_and_a_window_of_the_same_size() {
    for (seed, window) in (0..8).flat_map(|seed| windows().map(move |window| (seed, window))) {
        let mut messages = Messages::new(seed);
        let (mut deflater, mut references, mut inflater) =
            (deflater(window), References::new(window), inflater(window));
        for i in 0..MESSAGES {
            let message = messages.message();
            let payload = compress(&mut deflater, &message, Flush::Message, ALL, ROOM);
            assert_eq!(references.check(&payload, &message), Ok(()), "{window:?}, seed {seed}, message {i}");
            let back = decompress(&mut inflater, &payload, ALL, ROOM);
            assert_eq!(back.as_ref(), Ok(&message), "{window:?}, seed {seed}, message {i}");
        }
    }
}

#[test]
fn the_pieces_of_the_input_and_the_rooms_of_the_output_make_no_difference() {
    let sizes: [&[usize]; 5] = [&[1], &[0, 1, 7], &[255, 3], &[600], ALL];
    let rooms: [&[usize]; 5] = [&[1], &[0, 2], &[5, 1, 64], &[300], ROOM];
    for window in windows() {
        let mut messages = Messages::new(3);
        let messages: Vec<Vec<u8>> = (0..10).map(|_| messages.message()).collect();
        let run = |inputs: &[usize], outputs: &[usize]| -> Vec<Vec<u8>> {
            let mut deflater = deflater(window);
            messages.iter().map(|m| compress(&mut deflater, m, Flush::Message, inputs, outputs)).collect()
        };
        let whole = run(ALL, ROOM);
        for inputs in sizes {
            for outputs in rooms {
                assert!(run(inputs, outputs) == whole, "{window:?} {inputs:?} {outputs:?}");
            }
        }
    }
}

#[test]
fn fragments_can_be_read_when_they_have_arrived() {
    let mut rng = Rng::new(5);
    for window in windows() {
        let mut messages = Messages::new(5);
        let (mut deflater, mut references) = (deflater(window), References::new(window));
        for _ in 0..40 {
            let message = messages.message();
            let (mut wire, mut rest) = (Vec::new(), message.as_slice());
            for _ in 0..rng.below(4) {
                let (fragment, after) = rest.split_at(rng.below(rest.len() + 1));
                wire.extend(compress(&mut deflater, fragment, Flush::Fragment, ALL, &[3, 50]));
                assert!(wire.ends_with(&TAIL));
                // What has arrived so far is a message of its own, too.
                let mut alone = References::new(Window::kept(15));
                let so_far = &message[..message.len() - after.len()];
                if !window.takeover {
                    assert_eq!(alone.check(&wire, so_far), Ok(()));
                }
                rest = after;
            }
            wire.extend(compress(&mut deflater, rest, Flush::Message, ALL, &[1, 50]));
            assert_eq!(references.check(&wire, &message), Ok(()));
        }
    }
}

#[test]
fn an_empty_message_is_one_byte() {
    // RFC 7692 7.2.3.6.
    let mut deflater = deflater(Window::kept(10));
    for _ in 0..3 {
        assert_eq!(compress(&mut deflater, b"", Flush::Message, ALL, &[1]), [0x00]);
    }
    assert_eq!(compress(&mut deflater, b"", Flush::Fragment, ALL, &[2]), [0x00, 0x00, 0x00, 0xff, 0xff]);
}

#[test]
fn hello_is_what_rfc_7692_shows() {
    // RFC 7692 7.2.3.1. In 7.2.3.2 the second is a literal and a match; it can be a match alone.
    let mut deflater = deflater(Window::kept(9));
    let hello = compress(&mut deflater, b"Hello", Flush::Message, ALL, ROOM);
    assert_eq!(hello, [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    let again = compress(&mut deflater, b"Hello", Flush::Message, ALL, ROOM);
    assert_eq!(again, [0x02, 0x13, 0x00, 0x00]);
    // 7.1.1: without, it is the same again.
    let mut deflater = testkit::deflate::deflater(Window::fresh(9));
    for _ in 0..2 {
        assert_eq!(compress(&mut deflater, b"Hello", Flush::Message, ALL, ROOM), hello);
    }
}

/// Bytes in a stored block, if neither the message ends nor anything in it can be compressed.
const SHORTEST_STORED: usize = 256;

#[test]
fn what_cannot_be_compressed_grows_by_no_more_than_stored_blocks() {
    let mut rng = Rng::new(1);
    for window in windows() {
        let mut deflater = deflater(window);
        let mut grown = 0;
        for len in [0, 1, 5, 40, 255, 256, 257, 1000, 4096, 5000, 20_000] {
            let message = rng.bytes(len);
            let payload = compress(&mut deflater, &message, Flush::Message, ALL, ROOM);
            let blocks = len.div_ceil(SHORTEST_STORED).max(1);
            grown = payload.len().saturating_sub(len);
            // Five bytes before each block, and one or two that end the message.
            assert!(grown <= 5 * blocks + 2, "{window:?}: {len} bytes have become {}", payload.len());
        }
        assert!(grown > 0, "random bytes do not shrink");
    }
}

#[test]
fn a_good_beginning_does_not_pay_for_an_end_that_grows() {
    let mut rng = Rng::new(2);
    for window in windows() {
        let mut deflater = deflater(window);
        for len in [300, 1000, 5000] {
            let zeros = compress(&mut deflater, &vec![0; len], Flush::Message, ALL, ROOM).len();
            let message = [vec![0; len], rng.bytes(20_000)].concat();
            let payload = compress(&mut deflater, &message, Flush::Message, ALL, ROOM);
            let blocks = 20_000_usize.div_ceil(SHORTEST_STORED);
            assert!(payload.len() <= zeros + 20_000 + 5 * blocks + 70, "{window:?} {}", payload.len());
        }
    }
}

#[test]
fn the_window_is_what_was_agreed_or_what_the_memory_is_enough_for() {
    let bits = |memory: usize, agreed: u8| {
        Deflater::new(vec![0; memory], Window::kept(agreed)).map(|deflater| deflater.window().bits)
    };
    for agreed in 8..=15 {
        for enough in 8..=12 {
            assert_eq!(bits(Deflater::memory(enough), agreed), Some(agreed.min(enough)));
            assert_eq!(bits(Deflater::least_memory(enough), agreed), Some(agreed.min(enough)));
        }
        assert_eq!(bits(Deflater::memory(15), agreed), Some(agreed.min(12)));
        assert_eq!(bits(Deflater::least_memory(8) - 1, agreed), None);
    }
    assert_eq!(bits(1 << 20, 7), None);
}

#[test]
fn memory_is_what_the_documentation_says() {
    let in_all = |bits| Deflater::memory(bits) + size_of::<Deflater<&mut [u8]>>();
    // On 64-bit machines; on others it is less.
    assert_eq!([8, 9, 10, 11, 12].map(Deflater::memory), [2554, 3954, 6002, 11_194, 21_434]);
    assert_eq!([8, 9, 10, 11, 12].map(Deflater::least_memory), [2298, 3578, 5626, 10_234, 19_450]);
    assert!(size_of::<Deflater<&mut [u8]>>() <= 112 && size_of::<Deflater<[u8; 3954]>>() <= 4096);
    assert!(in_all(9) <= 4096 && in_all(10) <= 6144);
    // Who only sends does not pay for receiving, and the other way round.
    assert!(size_of::<Deflater<&mut [u8]>>() < size_of::<Inflater<&mut [u8]>>() / 50);
}

#[test]
fn less_memory_makes_longer_output_and_nothing_worse() {
    for bits in 8..=12 {
        let window = Window::kept(bits);
        let mut lens = Vec::new();
        for memory in [Deflater::least_memory(bits), Deflater::memory(bits), Deflater::memory(bits) + 9000] {
            let agreed = Window::kept(bits);
            let mut deflater = Deflater::new(vec![0; memory], agreed).unwrap();
            let (mut references, mut len) = (References::new(window), 0);
            let mut device = Device::new(Telemetry::Log, 2048, 1);
            for _ in 0..50 {
                let message = device.message().into_bytes();
                let payload = compress(&mut deflater, &message, Flush::Message, ALL, ROOM);
                assert_eq!(references.check(&payload, &message), Ok(()));
                len += payload.len();
            }
            lens.push(len);
        }
        assert!(lens[0] > lens[1] && lens[1] * 100 >= lens[2] * 99, "{bits} bits: {lens:?}");
    }
}
