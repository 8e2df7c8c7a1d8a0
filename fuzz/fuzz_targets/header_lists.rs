//! Any bytes as header lists, origins, hosts and URIs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::fuzz::header_lists(data));
