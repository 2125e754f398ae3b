#![no_main]

// A bearer token, and what one says.
libfuzzer_sys::fuzz_target!(|data: &[u8]| everynode_apiserver::read_token(&String::from_utf8_lossy(data)));
