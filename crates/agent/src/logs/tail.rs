//! Where the last lines of a log begin, without reading the rest of it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use memchr::{memchr_iter, memrchr_iter};

use super::rotated::{Source, is_compressed, open};

/// What is read at once, from the end of a file.
const BLOCK_BYTES: u64 = 64 << 10;

/// Puts a file before its last lines, or before its first one where it has fewer; says how many it has from there, of
/// as many as were wanted.
///
/// # Errors
/// As the system says.
pub fn seek_tail(file: &mut File, lines: u64) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    // The line that begins after the last end of a line is not there yet.
    let (mut found, mut block) = (0, Vec::new());
    while end > 0 {
        let start = end.saturating_sub(BLOCK_BYTES);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        file.by_ref().take(end - start).read_to_end(&mut block)?;
        for at in memrchr_iter(b'\n', &block) {
            if found == lines {
                file.seek(SeekFrom::Start(start + at as u64 + 1))?;
                return Ok(found);
            }
            found += 1;
        }
        end = start;
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(found)
}

/// Opens a file that was rotated out, before its last lines; says how many it has from there. One that is compressed is
/// read from its beginning, twice.
///
/// # Errors
/// As the system says.
pub fn open_tail(path: &Path, lines: u64) -> io::Result<(Source, u64)> {
    if !is_compressed(path) {
        let mut file = File::open(path)?;
        let found = seek_tail(&mut file, lines)?;
        return Ok((Box::new(BufReader::new(file)), found));
    }
    let all = skip_lines(&mut open(path)?, u64::MAX)?;
    let found = all.min(lines);
    let mut source = open(path)?;
    skip_lines(&mut source, all - found)?;
    Ok((source, found))
}

/// Reads past some lines; says how many there were.
fn skip_lines(source: &mut Source, lines: u64) -> io::Result<u64> {
    let mut skipped = 0;
    while skipped < lines {
        let available = source.fill_buf()?;
        if available.is_empty() {
            break;
        }
        let wanted = usize::try_from(lines - skipped).unwrap_or(usize::MAX);
        let (mut count, mut used) = (0, available.len());
        for at in memchr_iter(b'\n', available) {
            count += 1;
            if count == wanted {
                used = at + 1;
                break;
            }
        }
        source.consume(used);
        skipped += count as u64;
    }
    Ok(skipped)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_last_lines_are_found_from_the_end() {
        let check = |text: &str, lines: u64, expected: &str, count: u64| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let found = seek_tail(&mut file, lines).unwrap();
            let mut rest = String::new();
            file.read_to_string(&mut rest).unwrap();
            assert_eq!((rest.as_str(), found), (expected, count), "{lines} of {} bytes", text.len());
        };
        check("a\nb\nc\n", 2, "b\nc\n", 2);
        check("a\nb\nc\n", 3, "a\nb\nc\n", 3);
        check("a\nb\nc\n", 9, "a\nb\nc\n", 3);
        check("a\nb\nc\n", 0, "", 0);
        check("a\nb\nunfini", 1, "b\nunfini", 1);
        check("", 5, "", 0);
        let long = "x".repeat(200_000);
        check(&format!("a\n{long}\nb\n"), 2, &format!("{long}\nb\n"), 2);
        check(&format!("{long}\n{long}\n"), 1, &format!("{long}\n"), 1);
    }

    #[test]
    fn the_end_of_a_terabyte_is_read_and_nothing_else() {
        let mut file = tempfile::tempfile().unwrap();
        // A file with a hole: what is read of it would be zeros without an end of a line.
        file.seek(SeekFrom::Start(1 << 40)).unwrap();
        file.write_all(b"\na\nb\n").unwrap();
        assert_eq!(seek_tail(&mut file, 2).unwrap(), 2);
        assert_eq!(file.stream_position().unwrap(), (1 << 40) + 1);
    }
}
