//! The end of a log as the last words of its container, as long as the kubelet shows it.

use std::io;
use std::path::Path;

use super::reader::{LogOptions, LogReader};

const LINES: u64 = 80;
const LIMIT_BYTES: usize = 2 << 10;

/// The last lines of the log in this file; of more bytes than are shown the last ones.
///
/// # Errors
/// As the system says; not found when there is no log.
pub fn last_words(log: &Path) -> io::Result<Vec<u8>> {
    let mut reader = LogReader::open(log, LogOptions { tail_lines: Some(LINES), ..LogOptions::default() })?;
    let mut words = Vec::new();
    loop {
        let chunk = reader.read()?;
        if chunk.is_empty() {
            return Ok(words);
        }
        words.extend(chunk);
        words.drain(..words.len().saturating_sub(LIMIT_BYTES));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_few_lines_and_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("0.log");
        let check = |texts: &[String], expected: &str| {
            let line = |text: &String| format!("2026-01-02T03:04:05Z stderr F {text}\n");
            std::fs::write(&log, texts.iter().map(line).collect::<String>()).unwrap();
            assert_eq!(String::from_utf8(last_words(&log).unwrap()).unwrap(), expected);
        };
        check(&[], "");
        check(&["a".into(), "b".into()], "a\nb\n");
        let many: Vec<String> = (0..200).map(|number| number.to_string()).collect();
        check(&many, &(120..200).map(|number| format!("{number}\n")).collect::<String>());
        let long = vec!["x".repeat(5_000)];
        check(&long, &format!("{}\n", "x".repeat(LIMIT_BYTES - 1)));
        assert!(last_words(&folder.path().join("none")).is_err());
    }
}
