#![no_main]

// A request for a certificate, or a certificate, in DER.
libfuzzer_sys::fuzz_target!(|data: &[u8]| everynode_apiserver::read_certificate_request(data));
