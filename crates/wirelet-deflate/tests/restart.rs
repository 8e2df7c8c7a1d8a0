//! Memory that one connection after the other uses.

use testkit::deflate::{Messages, compress, decompress};
use wirelet_deflate::{Deflater, Inflater};
use wirelet_proto::Flush;
use wirelet_proto::deflate::Window;

const ALL: &[usize] = &[usize::MAX];
const ROOM: &[usize] = &[1 << 16];

fn windows() -> impl Iterator<Item = Window> {
    (8..=12).flat_map(|bits| [Window::kept(bits), Window::fresh(bits)])
}

/// What an encoder makes of the first messages of a stream.
fn stream(deflater: &mut Deflater<Vec<u8>>, seed: u64) -> Vec<Vec<u8>> {
    let mut messages = Messages::new(seed);
    (0..20).map(|_| compress(deflater, &messages.message(), Flush::Message, ALL, ROOM)).collect()
}

#[test]
fn a_restarted_encoder_knows_nothing_of_the_connection_before() {
    let size = Deflater::memory(12);
    for window in windows() {
        let expected = stream(&mut Deflater::new(vec![0; size], window).unwrap(), 1);
        let dirty = stream(&mut Deflater::new(vec![0xa5; size], window).unwrap(), 1);
        assert!(dirty == expected, "{window:?}: memory need not be clean");
        for before in windows() {
            let mut used = Deflater::new(vec![0; size], before).unwrap();
            stream(&mut used, 1);
            // In the middle of a message.
            let cut = used.window();
            let _ = wirelet_proto::Compressor::compress(
                &mut used,
                b"never to be ended",
                &mut [0; 1],
                Flush::Fragment,
            );
            assert!(used.restart(window) && used.window() == window, "{cut:?}");
            assert!(stream(&mut used, 1) == expected, "{before:?} -> {window:?}");
        }
    }
}

#[test]
fn a_restarted_decompressor_knows_nothing_of_the_connection_before() {
    for window in windows() {
        let mut deflater = Deflater::new(vec![0; Deflater::memory(12)], window).unwrap();
        let packed = stream(&mut deflater, 2);
        let read = |inflater: &mut Inflater<Vec<u8>>| -> Vec<_> {
            packed.iter().map(|message| decompress(inflater, message, ALL, ROOM)).collect()
        };
        let expected = read(&mut Inflater::new(vec![0; 4096], window).unwrap());
        assert!(expected.iter().all(Result::is_ok));
        for before in windows() {
            let mut used = Inflater::new(vec![0xa5; 4096], before).unwrap();
            let _ = read(&mut used);
            let _ = decompress(&mut used, &[7, 7, 7], ALL, ROOM);
            assert!(used.restart(window));
            assert!(read(&mut used) == expected, "{before:?} -> {window:?}");
            // A distance that reaches back before the first byte finds nothing of the connection before.
            if window.takeover && packed.len() > 1 {
                assert!(used.restart(window));
                let second = decompress(&mut used, &packed[1], ALL, ROOM);
                assert!(second.is_err() || second == expected[1], "bytes of another connection");
            }
        }
        assert!(!Inflater::new(vec![0; 256], Window::kept(8)).unwrap().restart(Window::kept(9)));
    }
}
