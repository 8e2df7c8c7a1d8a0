//! The decompressor: RFC 7692's examples, pieces, windows, and what an attacker sends.

use testkit::deflate::{Messages, TAIL, Zlib, compress, decompress, deflater};
use testkit::random::Rng;
use wirelet_deflate::{Deflater, Inflater};
use wirelet_proto::deflate::Window;
use wirelet_proto::{Codec, CodecError, Flush};

const ALL: &[usize] = &[usize::MAX];
/// Much room, at once.
const ROOM: &[usize] = &[1 << 16];

/// RFC 7692 7.2.3.1.
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

fn inflater(window: Window) -> Inflater<Vec<u8>> {
    Inflater::new(vec![0xaa; 1 << window.bits], window).unwrap()
}

/// What `payloads` are, one message after the other, with one inflater.
fn inflate(window: Window, payloads: &[&[u8]]) -> Result<Vec<Vec<u8>>, CodecError> {
    let mut inflater = inflater(window);
    let one = |payload: &&[u8]| decompress(&mut inflater, payload, ALL, ROOM).map_err(|(error, _)| error);
    payloads.iter().map(one).collect()
}

#[test]
fn the_examples_of_rfc_7692() {
    // 7.2.3.2: the second message refers to the first.
    let second = [0xf2, 0x00, 0x11, 0x00, 0x00];
    // 7.2.3.3: a stored block.
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    // 7.2.3.4: a final block, and an empty stored one behind it.
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    // 7.2.3.5: two blocks.
    let two = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    for window in [Window::kept(8), Window::fresh(8), Window::LARGEST] {
        for example in [&HELLO[..], &stored, &last, &two] {
            for sizes in [&[1][..], &[2, 3], ALL] {
                let mut inflater = inflater(window);
                for _ in 0..3 {
                    assert_eq!(decompress(&mut inflater, example, sizes, &[1]).unwrap(), b"Hello");
                }
            }
        }
        let both = inflate(window, &[&HELLO, &second]);
        assert_eq!(both.is_ok(), window.takeover, "nothing is left to refer to without context takeover");
        assert!(both.is_err() || both == Ok(vec![b"Hello".to_vec(); 2]));
    }
    // 7.2.3.6: an empty message.
    assert_eq!(inflate(Window::kept(8), &[&[0x00], &HELLO, &[0x00]]).unwrap()[2], b"");
}

#[test]
fn pieces_and_rooms_make_no_difference() {
    for window in [Window::kept(8), Window::fresh(9), Window::kept(12)] {
        let mut deflater = deflater(window);
        let mut messages = Messages::new(21);
        let messages: Vec<Vec<u8>> = (0..6).map(|_| messages.message()).collect();
        let payloads: Vec<Vec<u8>> =
            messages.iter().map(|m| compress(&mut deflater, m, Flush::Message, ALL, ROOM)).collect();
        for inputs in [&[1][..], &[0, 1, 9], &[64], ALL] {
            for outputs in [&[1][..], &[0, 3], &[255, 257], &[512], ROOM] {
                let mut inflater = inflater(window);
                for (payload, message) in payloads.iter().zip(&messages) {
                    assert!(decompress(&mut inflater, payload, inputs, outputs).as_ref() == Ok(message));
                }
            }
        }
    }
}

#[test]
fn every_cut_of_a_message_gives_the_same() {
    let message =
        b"{\"a\":1.25,\"b\":[1,2,3,4],\"a\":1.25,\"b\":[1,2,3,4]} and so on and on and on".repeat(9);
    let window = Window::kept(9);
    let payload = compress(&mut deflater(window), &message, Flush::Message, ALL, ROOM);
    for cut in 0..=payload.len() {
        let mut inflater = inflater(window);
        let sizes = [cut, usize::MAX];
        assert!(decompress(&mut inflater, &payload, &sizes, &[7]).as_ref() == Ok(&message), "cut at {cut}");
    }
}

#[test]
fn messages_of_zlib_come_back_with_every_window() {
    for bits in 9..=15 {
        for window in [Window::kept(bits), Window::fresh(bits)] {
            let (mut zlib, mut inflater) = (Zlib::new(window), inflater(window));
            let mut messages = Messages::new(u64::from(bits));
            for _ in 0..15 {
                let message = messages.message();
                let payload = zlib.message(&message);
                assert!(decompress(&mut inflater, &payload, ALL, &[1000]).as_ref() == Ok(&message));
            }
        }
    }
}

#[test]
fn an_end_of_no_bytes_is_an_end() {
    // zlib makes nothing of nothing when it has just been flushed; its users send empty frames then.
    let window = Window::kept(15);
    let (mut zlib, mut inflater) = (Zlib::new(window), inflater(window));
    for _ in 0..2 {
        let fragment = zlib.fragment(b"flushed");
        assert!(fragment.ends_with(&TAIL));
        assert_eq!(decompress(&mut inflater, &fragment, &[3], ROOM).unwrap(), b"flushed");
        assert_eq!(decompress(&mut inflater, b"", ALL, ROOM).unwrap(), b"");
    }
    assert_eq!(decompress(&mut inflater, &zlib.message(b"more"), ALL, ROOM).unwrap(), b"more");
}

#[test]
fn after_a_final_block_the_next_one_uses_the_same_window() {
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    // RFC 7692 7.2.3.4: many of them, and others behind them, each of which refers to what was before.
    let again = [0x02, 0x13, 0x00, 0x00];
    let many = [&last.repeat(100)[..], &again].concat();
    for window in [Window::kept(8), Window::fresh(15)] {
        for sizes in [&[1][..], &[3], ALL] {
            let mut inflater = inflater(window);
            assert_eq!(decompress(&mut inflater, &many, sizes, &[3]).unwrap(), b"Hello".repeat(101));
            // A message that ends with a final block has left nothing out.
            assert_eq!(decompress(&mut inflater, &last, sizes, &[3]).unwrap(), b"Hello");
        }
    }
    assert!(inflate(Window::kept(8), &[&last, &again]).is_ok());
    assert!(inflate(Window::fresh(8), &[&last, &again]).is_err());
}

/// What ends between two blocks was taken here, and by the other driver it was not; in which ways it may is the same for both.
///
/// RFC 7692 7.2.2: "1. Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload of the message. 2. Decompress the resulting
/// data using DEFLATE." Behind a final block, or nothing, DEFLATE has ended and takes none of the four. Behind a tail that was left on
/// they begin a block that never ends, and hold no byte of the message.
#[test]
fn a_message_may_end_between_two_blocks() {
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let whole = [&HELLO[..], &[0x00, 0x00, 0xff, 0xff]].concat();
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00, 0x00, 0x00, 0xff, 0xff];
    let again = [0xf2, 0x00, 0x11, 0x00, 0x00];
    for window in [Window::kept(8), Window::fresh(9), Window::LARGEST] {
        for (ends, text) in [(&last[..], &b"Hello"[..]), (&whole, b"Hello"), (&stored, b"Hello"), (&[], b"")]
        {
            for sizes in [&[1][..], &[2, 3], ALL] {
                let mut inflater = inflater(window);
                assert_eq!(decompress(&mut inflater, ends, sizes, &[1]).unwrap(), text, "{ends:x?}");
                // The next message begins with a block, and refers to what was before where that is kept.
                assert_eq!(decompress(&mut inflater, &HELLO, sizes, &[1]).unwrap(), b"Hello");
                assert_eq!(decompress(&mut inflater, ends, sizes, &[1]).unwrap(), text, "{ends:x?}");
                let next = decompress(&mut inflater, &again, sizes, &[1]);
                assert_eq!(next.is_ok(), window.takeover, "{ends:x?}");
            }
        }
        for corrupt in [
            // A byte more, and a byte less, than the tail.
            &[&whole[..], &[0xff]].concat(),
            &whole[..whole.len() - 1],
            // In the middle of a block without compression, with the same byte last.
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x00, 0x05, 0x00, 0xfa, 0xff],
        ] {
            assert_eq!(inflate(window, &[corrupt]), Err(CodecError), "{corrupt:x?}");
        }
    }
}

/// A fixed block (RFC 1951 3.2.6) of these bits and their number, codes with the highest first, and the end of a message.
fn fixed_block(parts: &[(u32, u32, bool)]) -> Vec<u8> {
    let end = [(0, 7, true), (0b000, 3, false)];
    let (mut bits, mut count) = (0u64, 0);
    for (value, len, is_code) in [(0b010, 3, false)].iter().chain(parts).chain(&end) {
        let value = if *is_code { value.reverse_bits() >> (32 - len) } else { *value };
        bits |= u64::from(value) << count;
        count += len;
    }
    bits.to_le_bytes()[..count.div_ceil(8) as usize].to_vec()
}

#[test]
fn distances_beyond_the_window_or_the_first_byte_fail() {
    let stored: Vec<u8> = Rng::new(4).bytes(700);
    // RFC 1951 3.2.5: the symbol of a distance, its extra bits and what they hold.
    let distances = [(256, 15, 6, 63), (257, 16, 7, 0), (512, 17, 7, 127), (513, 18, 8, 0)];
    for (distance, symbol, extra_bits, extra) in distances {
        let match_of_three =
            fixed_block(&[(257 - 256, 7, true), (symbol, 5, true), (extra, extra_bits, false)]);
        let payload = [&[0x00, 0xbc, 0x02, 0x43, 0xfd], &stored[..], &match_of_three].concat();
        let again = &stored[700 - distance..][..3];
        for bits in 8..=15 {
            let fits = distance <= 1 << bits;
            let expected = if fits { Ok(vec![[&stored, again].concat()]) } else { Err(CodecError) };
            assert!(inflate(Window::kept(bits), &[&payload]) == expected, "{bits} bits, distance {distance}");
        }
    }
    // A match as the first thing: five bytes from a distance of five.
    let again = [0x02, 0x13, 0x00, 0x00];
    for window in [Window::kept(8), Window::LARGEST, Window::fresh(9)] {
        assert_eq!(inflate(window, &[&again]), Err(CodecError));
        assert_eq!(inflate(window, &[&HELLO, &again]).is_ok(), window.takeover);
    }
}

#[test]
fn corrupt_data_fails_and_stays_failed() {
    let corrupt: [&[u8]; 9] = [
        // A block type that does not exist.
        &[0x07, 0x00],
        // A stored block whose length and its complement don't fit.
        &[0x00, 0x05, 0x00, 0xfa, 0xfe, 0x48],
        // A stored block that is shorter than it says, even with the bytes that are put back.
        &[0x00, 0x0a, 0x00, 0xf5, 0xff, 0x48],
        // Too many codes for lengths; a code of too many symbols.
        &[0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x04, 0x00, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff],
        // A fixed block that does not end.
        &[0xf2, 0x48, 0xcd],
        // A length whose distance does not exist.
        &[0x02, 0x7e, 0xff, 0xff],
        // Nothing that could be a block behind a final one.
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x07],
        // Behind a whole message, its trailer included, something that is none.
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00, 0xff, 0xff, 0x06, 0x66],
    ];
    for data in corrupt {
        for sizes in [&[1][..], ALL] {
            for window in [Window::kept(8), Window::fresh(15)] {
                let mut inflater = inflater(window);
                assert!(decompress(&mut inflater, data, sizes, &[1]).is_err(), "{data:02x?}");
                assert!(decompress(&mut inflater, &HELLO, ALL, ROOM).is_err(), "{data:02x?}");
            }
        }
    }
}

#[test]
fn a_message_cut_short_fails() {
    let message = b"a message that is compressed and cut short, cut and cut, short and short".repeat(4);
    let payload = compress(&mut deflater(Window::kept(9)), &message, Flush::Message, ALL, ROOM);
    for len in 0..payload.len() {
        match inflate(Window::kept(9), &[&payload[..len]]).as_deref() {
            Err(CodecError) => {}
            // No bytes at all are an empty message, and what ends between blocks lacks nothing.
            Ok([whole]) => {
                assert!(if len == 0 { whole.is_empty() } else { *whole == message }, "{len} bytes")
            }
            Ok(_) => unreachable!("one message"),
        }
    }
}

#[test]
fn a_megabyte_of_zeros_comes_out_in_rooms_of_the_callers_size() {
    let zeros = vec![0; 1 << 20];
    let payload = Zlib::new(Window::kept(15)).message(&zeros);
    assert!(zeros.len() > 900 * payload.len(), "{} bytes", payload.len());
    let mut inflater = inflater(Window::kept(15));
    let (mut input, mut out, mut room) = (&payload[..], 0, [1; 1000]);
    loop {
        let progress = inflater.decompress(input, &mut room, true).unwrap();
        assert!(room[..progress.produced].iter().all(|byte| *byte == 0));
        input = &input[progress.consumed..];
        out += progress.produced;
        if progress.done {
            break;
        }
        // Never more than there was asked for, and a caller who has enough stops here.
        assert_eq!(progress.produced, room.len());
    }
    assert_eq!(out, zeros.len());
}

#[test]
fn empty_stored_blocks_in_a_loop_end_with_the_input() {
    // Five bytes each, and nothing comes out.
    let loops = [0x00, 0x00, 0x00, 0xff, 0xff].repeat(20_000);
    let mut inflater = inflater(Window::kept(9));
    for _ in 0..3 {
        let progress = inflater.decompress(&loops, &mut [0; 8], false).unwrap();
        assert_eq!((progress.consumed, progress.produced, progress.done), (loops.len(), 0, true));
        // No room at all is room enough for nothing.
        let progress = inflater.decompress(&loops, &mut [], false).unwrap();
        assert_eq!((progress.consumed, progress.produced, progress.done), (loops.len(), 0, true));
    }
    assert_eq!(decompress(&mut inflater, &HELLO, ALL, ROOM).unwrap(), b"Hello");
    // The same with final blocks.
    let finals = [0x01, 0x00, 0x00, 0xff, 0xff].repeat(20_000);
    let progress = inflater.decompress(&finals, &mut [], true).unwrap();
    assert_eq!((progress.consumed, progress.produced, progress.done), (finals.len(), 0, true));
    // And with fixed blocks, ten bits each.
    let fixed = [0x02, 0x08, 0x20, 0x80, 0x00].repeat(20_000);
    let progress = inflater.decompress(&fixed, &mut [], false).unwrap();
    assert_eq!((progress.consumed, progress.produced), (fixed.len(), 0));
}

#[test]
fn no_room_is_never_done_while_bytes_wait() {
    let mut inflater = inflater(Window::kept(9));
    for _ in 0..4 {
        let progress = inflater.decompress(&HELLO, &mut [], true).unwrap();
        let rest = &HELLO[progress.consumed..];
        assert!(!progress.done);
        assert_eq!(decompress(&mut inflater, rest, ALL, &[2, 0]).unwrap(), b"Hello");
    }
}

#[test]
fn a_window_is_as_large_as_agreed() {
    for bits in 8..=15 {
        let window = Window::kept(bits);
        assert!(Inflater::new(vec![0; (1 << bits) - 1], window).is_none());
        assert_eq!(Inflater::new(vec![0; (1 << bits) + 5], window).unwrap().window(), window);
    }
    assert!(Inflater::new(vec![0; 1 << 20], Window::kept(7)).is_none());
    assert!(Inflater::new(vec![0; 1 << 20], Window::kept(16)).is_none());
}

#[test]
fn memory_is_what_the_documentation_says() {
    const MOST: usize = 10_744;
    assert!(size_of::<Inflater<[u8; 0]>>() <= MOST, "{}", size_of::<Inflater<[u8; 0]>>());
    assert!(size_of::<Inflater<[u8; 1 << 9]>>() <= MOST + (1 << 9));
    assert!(size_of::<Deflater<[u8; 0]>>() <= 96);
}
