//! A list of extensions, as offers and as an answer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::fuzz::negotiation(data));
