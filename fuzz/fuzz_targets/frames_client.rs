//! A stream from a server, in any pieces and any buffer, against the reference decoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::fuzz::frames_client(data));
