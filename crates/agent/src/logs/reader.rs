//! Reads a log from its oldest file to its newest, and goes on with what is written later.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use everynode_model::time;
use memchr::memchr;

use super::line::{LogLine, Stream, with_nanoseconds};
use super::rotated::{Rotated, Source, open};
use super::tail::{open_tail, seek_tail};

/// What is given at once.
const CHUNK_BYTES: usize = 32 << 10;
/// The longest line of a file; runtimes cut lines of programs at 16 KiB. Of a longer one the beginning is shown.
const LINE_LIMIT_BYTES: usize = 1 << 20;

/// What of a log is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// What is written later too.
    pub is_following: bool,
    /// The last lines only, as they are in the files: a long line of a program is several there.
    pub tail_lines: Option<u64>,
    /// Not more than so many bytes.
    pub limit_bytes: Option<u64>,
    /// What was written from this second on, since 1970.
    pub since_seconds: Option<i64>,
    /// Each line after the time at which it was written.
    pub has_timestamps: bool,
    /// What came by one of the outputs only.
    pub stream: Option<Stream>,
}

/// A log that is being read. What it gives is for people: without what the runtime adds to each line.
pub struct LogReader {
    options: LogOptions,
    path: PathBuf,
    source: Option<Source>,
    /// What is read after that.
    waiting: VecDeque<Source>,
    /// The device and the inode of the newest file that was opened.
    newest: Option<(u64, u64)>,
    /// The file was replaced, and has been read once more since: the runtime may have written to it until then.
    is_replaced: bool,
    line: Vec<u8>,
    /// What comes next is the beginning of a line of the program.
    is_beginning: bool,
    left_bytes: u64,
}

impl LogReader {
    /// Opens the log in this file, with what was rotated out of it.
    ///
    /// # Errors
    /// As the system says; not found when there is no file at all.
    pub fn open(path: &Path, options: LogOptions) -> io::Result<LogReader> {
        // The newest first: what is rotated out meanwhile is open already.
        let newest = match File::open(path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let identity = newest.as_ref().map(File::metadata).transpose()?.as_ref().map(identity);
        let rotated = Rotated::of(path)?.in_use;
        if newest.is_none() && rotated.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut reader = LogReader {
            left_bytes: options.limit_bytes.unwrap_or(u64::MAX),
            options,
            path: path.to_owned(),
            source: None,
            waiting: VecDeque::new(),
            newest: identity,
            is_replaced: false,
            line: Vec::new(),
            is_beginning: true,
        };
        reader.queue(newest, &rotated)?;
        Ok(reader)
    }

    /// Opens what is to be read, from the newest to the oldest, as far back as is wanted.
    fn queue(&mut self, newest: Option<File>, rotated: &[PathBuf]) -> io::Result<()> {
        let mut wanted = self.options.tail_lines;
        if let Some(mut file) = newest {
            if let Some(wanted) = &mut wanted {
                *wanted -= seek_tail(&mut file, *wanted)?;
            }
            // Whoever does not follow gets what was there, however fast more is written.
            let there = file.metadata()?.len().saturating_sub(file.stream_position()?);
            let limit = if self.options.is_following { u64::MAX } else { there };
            self.waiting.push_front(Box::new(BufReader::new(file.take(limit))));
        }
        for path in rotated.iter().rev() {
            if wanted == Some(0) || self.is_newest(path)? {
                continue;
            }
            let source = match wanted {
                None => open(path),
                Some(lines) => open_tail(path, lines).map(|(source, found)| {
                    wanted = Some(lines - found);
                    source
                }),
            };
            match source {
                Ok(source) => self.waiting.push_front(source),
                // It was the oldest, and has been removed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn is_newest(&self, path: &Path) -> io::Result<bool> {
        match std::fs::metadata(path) {
            Ok(metadata) => Ok(Some(identity(&metadata)) == self.newest),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What comes next; empty at the end of what is there.
    ///
    /// # Errors
    /// As the system says.
    pub fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        while out.len() < CHUNK_BYTES && self.left_bytes > 0 {
            if self.fill_line()? {
                self.show(&mut out);
                self.line.clear();
            } else if !self.advance()? {
                break;
            }
        }
        Ok(out)
    }

    /// It has given as many bytes as it may: nothing comes any more.
    pub fn is_exhausted(&self) -> bool {
        self.left_bytes == 0
    }

    /// Reads on until the line is whole; false at the end of what is there.
    fn fill_line(&mut self) -> io::Result<bool> {
        let Some(source) = &mut self.source else { return Ok(false) };
        loop {
            let available = source.fill_buf()?;
            if available.is_empty() {
                return Ok(false);
            }
            let end = memchr(b'\n', available);
            let used = end.map_or(available.len(), |at| at + 1);
            let room = LINE_LIMIT_BYTES.saturating_sub(self.line.len());
            self.line.extend_from_slice(&available[..used.min(room)]);
            source.consume(used);
            if end.is_some() {
                return Ok(true);
            }
        }
    }

    /// Goes on to what comes after the end of a file; false when there is nothing.
    fn advance(&mut self) -> io::Result<bool> {
        if let Some(next) = self.waiting.pop_front() {
            // What was not finished never will be.
            self.line.clear();
            self.source = Some(next);
            return Ok(true);
        }
        if !self.options.is_following {
            return Ok(false);
        }
        let file = match File::open(&self.path) {
            Ok(file) => file,
            // It has been rotated out, and the runtime has not made it again yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let found = Some(identity(&file.metadata()?));
        if found == self.newest {
            return Ok(false);
        }
        if self.source.is_some() && !std::mem::replace(&mut self.is_replaced, true) {
            return Ok(true);
        }
        (self.newest, self.is_replaced) = (found, false);
        self.waiting.push_back(Box::new(BufReader::new(file)));
        Ok(true)
    }

    /// Adds a line as people are shown it.
    fn show(&mut self, out: &mut Vec<u8>) {
        let Some(line) = LogLine::parse(&self.line) else { return };
        let is_wanted = self.options.stream.is_none_or(|stream| stream == line.stream)
            && self
                .options
                .since_seconds
                .is_none_or(|since| time::parse(line.time).is_ok_and(|at| at >= since));
        if !is_wanted {
            return;
        }
        let start = out.len();
        if self.options.has_timestamps && self.is_beginning {
            out.extend_from_slice(with_nanoseconds(line.time).as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(line.text);
        if !line.is_partial {
            out.push(b'\n');
        }
        self.is_beginning = !line.is_partial;
        let left = usize::try_from(self.left_bytes).unwrap_or(usize::MAX);
        out.truncate(start.saturating_add(left));
        self.left_bytes -= (out.len() - start) as u64;
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl std::fmt::Debug for LogReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogReader").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
