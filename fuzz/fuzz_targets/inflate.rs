//! Compressed messages through our decompressor.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::fuzz::inflate(data));
