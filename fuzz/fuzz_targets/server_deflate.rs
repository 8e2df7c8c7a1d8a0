//! Messages through the encoder of servers, alone and after those before them.
#![no_main]

use testkit::deflate::References;
use wirelet_deflate::whole::{Effort, Encoder};
use wirelet_proto::deflate::Window;

/// Bytes of the input before the messages: window, level, how much of earlier messages is kept.
const HEAD: usize = 3;
/// Cuts at bytes of this value.
const CUT: u8 = 0x0a;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&[bits, level, kept], text)) = data.split_first_chunk::<HEAD>() else { return };
    let (bits, level, kept) = (9 + bits % 7, 1 + level % 9, usize::from(kept) * 16);
    let window = Window { bits, takeover: kept > 0 };
    let (mut encoder, mut references) = (Encoder::new(), References::new(window));
    let (mut history, mut payload) = (Vec::new(), Vec::new());
    for message in text.split(|byte| *byte == CUT) {
        let joined = [&history[..], message].concat();
        payload.clear();
        encoder.encode(&joined, history.len(), bits, Effort::of_level(level), &mut payload);
        assert_eq!(references.check(&payload, message), Ok(()), "{bits} bits, level {level}, {kept} bytes kept");
        // Never longer than stored blocks.
        assert!(payload.len() <= message.len() + 7, "{} of {} bytes", payload.len(), message.len());
        let forgotten = joined.len().saturating_sub(kept);
        history = joined[forgotten..].to_vec();
    }
});
