//! Two messages through the decompressor that servers have for small ones.
#![no_main]

use testkit::deflate::References;
use wirelet_deflate::whole::Decoder;
use wirelet_proto::deflate::Window;

/// Bytes that there is room for.
const ROOM: usize = 8192;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((cut, messages)) = data.split_first() else { return };
    let (first, second) = messages.split_at(usize::from(*cut).min(messages.len()));
    let (mut decoder, mut output) = (Decoder::new(), vec![0; ROOM]);
    for message in [first, second] {
        if let Some(len) = decoder.decompress(message, &mut output) {
            let mut references = References::new(Window::fresh(15));
            assert_eq!(references.check(message, &output[..len]), Ok(()));
        }
    }
});
