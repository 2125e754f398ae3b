#![no_main]

// Path, query and the header Accept of a request, a line each.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(3, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let _ = everynode_apiserver::read_head(next(), next(), next());
});
