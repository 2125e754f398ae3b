#![no_main]

#[allow(dead_code, reason = "each target is one of the readers")]
#[path = "../../crates/apimachinery/tests/bytes/mod.rs"]
mod bytes;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bytes::managers(data));
