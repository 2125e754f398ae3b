//! A line of a log in the format of the Container Runtime Interface: `TIME STREAM TAGS TEXT`.

/// A line of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// When it was written (RFC 3339).
    pub time: &'a str,
    /// By which of its outputs.
    pub stream: Stream,
    /// The line of the program goes on in the next one.
    pub is_partial: bool,
    /// What the program wrote, without the end of the line.
    pub text: &'a [u8],
}

/// An output of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Its output.
    Stdout,
    /// Its errors.
    Stderr,
}

impl<'a> LogLine<'a> {
    /// Reads a line; nothing where it is none.
    pub fn parse(line: &'a [u8]) -> Option<LogLine<'a>> {
        let mut parts = line.strip_suffix(b"\n").unwrap_or(line).splitn(4, |byte| *byte == b' ');
        let mut word = || std::str::from_utf8(parts.next()?).ok();
        let time = word().filter(|time| !time.is_empty())?;
        let stream = match word()? {
            "stdout" => Stream::Stdout,
            "stderr" => Stream::Stderr,
            _ => return None,
        };
        // More tags may come, after a colon.
        let is_partial = word()?.split(':').next() == Some("P");
        Some(LogLine { time, stream, is_partial, text: parts.next()? })
    }
}

/// A time with nine decimals, as all times of a log are shown.
pub fn with_nanoseconds(time: &str) -> String {
    const SECONDS: usize = "2006-01-02T15:04:05".len();
    let Some((seconds, rest)) = time.split_at_checked(SECONDS) else { return time.to_owned() };
    let decimals = rest.strip_prefix('.').unwrap_or_default();
    let count = decimals.bytes().take_while(u8::is_ascii_digit).count();
    let zone = if decimals.is_empty() { rest } else { &decimals[count..] };
    format!("{seconds}.{:0<9}{zone}", &decimals[..count])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_runtimes_write_them() {
        let check = |line: &str, expected: Option<(&str, Stream, bool, &str)>| {
            let found = LogLine::parse(line.as_bytes());
            let found =
                found.map(|it| (it.time, it.stream, it.is_partial, std::str::from_utf8(it.text).unwrap()));
            assert_eq!(found, expected, "{line:?}");
        };
        check("T stdout F one two\n", Some(("T", Stream::Stdout, false, "one two")));
        check("T stderr P one", Some(("T", Stream::Stderr, true, "one")));
        check("T stdout P:later x\n", Some(("T", Stream::Stdout, true, "x")));
        check("T stdout F \n", Some(("T", Stream::Stdout, false, "")));
        check("T stdout F\n", None);
        check("T stdin F x\n", None);
        check(" stdout F x\n", None);
        check("{\"log\":\"x\"}\n", None);
        check("", None);
    }

    #[test]
    fn times_are_shown_with_nine_decimals() {
        for (time, expected) in [
            ("2016-10-06T00:17:09.669794202Z", "2016-10-06T00:17:09.669794202Z"),
            ("2016-10-06T00:17:09.66Z", "2016-10-06T00:17:09.660000000Z"),
            ("2016-10-06T00:17:09Z", "2016-10-06T00:17:09.000000000Z"),
            ("2016-10-06T00:17:09.5+02:00", "2016-10-06T00:17:09.500000000+02:00"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(with_nanoseconds(time), expected);
        }
    }
}
