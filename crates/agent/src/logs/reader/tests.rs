use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

/// A log in a folder of its own.
struct Log(tempfile::TempDir);

impl Log {
    fn new() -> Log {
        Log(tempfile::tempdir().unwrap())
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.0.path().join(format!("0.log{suffix}"))
    }

    /// Adds to a file, or makes it.
    fn write(&self, suffix: &str, text: &str) {
        let mut file = File::options().append(true).create(true).open(self.path(suffix)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn compress(&self, suffix: &str) {
        let mut out =
            GzEncoder::new(File::create(self.path(&format!("{suffix}.gz"))).unwrap(), Compression::fast());
        out.write_all(&fs::read(self.path(suffix)).unwrap()).unwrap();
        out.finish().unwrap();
        fs::remove_file(self.path(suffix)).unwrap();
    }

    fn reader(&self, options: LogOptions) -> LogReader {
        LogReader::open(&self.path(""), options).unwrap()
    }
}

fn text_of(reader: &mut LogReader) -> String {
    let mut all = Vec::new();
    loop {
        match reader.read().unwrap() {
            chunk if chunk.is_empty() => return String::from_utf8(all).unwrap(),
            chunk => all.extend(chunk),
        }
    }
}

/// Lines with these texts, a second apart.
fn lines(texts: &[&str]) -> String {
    let line = |(at, text): (usize, &&str)| format!("2026-01-02T03:04:{at:02}.5Z stdout F {text}\n");
    texts.iter().enumerate().map(line).collect()
}

fn following() -> LogOptions {
    LogOptions { is_following: true, ..LogOptions::default() }
}

#[test]
fn a_log_is_shown_as_it_was_asked_for() {
    let log = Log::new();
    log.write("", &lines(&["a", "b", "c"]));
    log.write("", "2026-01-02T03:04:10.5Z stderr P lo\n2026-01-02T03:04:11Z stderr F ng\nnonsense\nunfini");
    let all = LogOptions::default();
    let check = |options: LogOptions, expected: &str| assert_eq!(text_of(&mut log.reader(options)), expected);
    check(all.clone(), "a\nb\nc\nlong\n");
    check(LogOptions { tail_lines: Some(4), ..all.clone() }, "c\nlong\n");
    check(LogOptions { tail_lines: Some(0), ..all.clone() }, "");
    check(LogOptions { tail_lines: Some(99), limit_bytes: Some(3), ..all.clone() }, "a\nb");
    check(LogOptions { stream: Some(Stream::Stderr), ..all.clone() }, "long\n");
    check(LogOptions { stream: Some(Stream::Stdout), limit_bytes: Some(4), ..all.clone() }, "a\nb\n");
    let since = time::parse("2026-01-02T03:04:02Z").unwrap();
    let dated = "2026-01-02T03:04:02.500000000Z c\n2026-01-02T03:04:10.500000000Z long\n";
    check(LogOptions { since_seconds: Some(since), has_timestamps: true, ..all }, dated);
}

#[test]
fn what_was_rotated_out_is_read_first() {
    let log = Log::new();
    log.write(".20260101-000000", &lines(&["a", "b"]));
    log.compress(".20260101-000000");
    log.write(".20260102-000000", &lines(&["c", "d"]));
    log.write("", &lines(&["e"]));
    // What does not count: unfinished, copied, or another log's.
    log.write(".20260103-000000.tmp", "x");
    log.write(".20260101-000000", &lines(&["a"]));
    fs::write(log.0.path().join("10.log"), lines(&["x"])).unwrap();
    let check = |tail_lines, expected: &str| {
        assert_eq!(text_of(&mut log.reader(LogOptions { tail_lines, ..LogOptions::default() })), expected);
    };
    check(None, "a\nb\nc\nd\ne\n");
    check(Some(5), "a\nb\nc\nd\ne\n");
    check(Some(4), "b\nc\nd\ne\n");
    check(Some(2), "d\ne\n");
    check(Some(1), "e\n");
    fs::remove_file(log.path("")).unwrap();
    check(Some(3), "b\nc\nd\n");
    assert!(LogReader::open(&log.path(".none"), LogOptions::default()).is_err());
}

#[test]
fn a_log_that_is_followed_goes_on_over_a_rotation_and_loses_nothing() {
    let log = Log::new();
    log.write("", &lines(&["a"]));
    let mut reader = log.reader(following());
    assert_eq!(text_of(&mut reader), "a\n");
    log.write("", "2026-01-02T03:04:05Z stdout F unfini");
    assert_eq!(text_of(&mut reader), "");
    log.write("", "shed\n");
    assert_eq!(text_of(&mut reader), "unfinished\n");
    fs::rename(log.path(""), log.path(".20260101-000000")).unwrap();
    // The runtime writes to the old file until it is told to open the log again.
    log.write(".20260101-000000", &lines(&["late"]));
    assert_eq!(text_of(&mut reader), "late\n");
    log.write(".20260101-000000", &lines(&["last"]));
    log.write("", &lines(&["new"]));
    assert_eq!(text_of(&mut reader), "last\nnew\n");
    log.write("", &lines(&["more"]));
    assert_eq!(text_of(&mut reader), "more\n");
}

#[test]
fn whoever_does_not_follow_gets_what_was_there() {
    let log = Log::new();
    log.write("", &lines(&["a"]));
    let mut reader = log.reader(LogOptions::default());
    log.write("", &lines(&["b"]));
    assert_eq!(text_of(&mut reader), "a\n");
}

#[test]
fn a_line_without_end_costs_no_more_memory_than_the_longest_one() {
    let log = Log::new();
    let begin = "2026-01-02T03:04:05Z stdout F ";
    log.write("", &format!("{begin}{}\n", "x".repeat(3 * LINE_LIMIT_BYTES)));
    log.write("", &lines(&["next"]));
    let text = text_of(&mut log.reader(LogOptions::default()));
    let (first, rest) = text.split_once('\n').unwrap();
    assert_eq!((first.len(), rest), (LINE_LIMIT_BYTES - begin.len(), "next\n"));
}
