//! A request in any pieces: the scanner, the parser, the checks, and both answers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::fuzz::server_handshake(data));
