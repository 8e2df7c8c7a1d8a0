//! Random operations on a client core and a server core with delaying links between them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::fuzz::pair(data));
