//! A close frame with any payload, in both roles, against the reference decoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::fuzz::close_payload(data));
