//! The file of a snapshot: gzip of lines of JSON.
//!
//! The first line says what it is and in which version of the format. Then comes one record per line. The last line
//! tells what could not be read, how many records there are, and a checksum of all lines before, so that a file that
//! is cut off, damaged, foreign or newer is told apart.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::plausible;
use crate::record::{Record, Unseen};

/// The version of the format that is written, and the latest that is read. The first one knew no roll-out policies,
/// the second one of what decides about new pods only quotas and priority classes, the third one not what pods use.
pub const VERSION: u32 = 4;
/// All lines together. The snapshot of 100,000 nodes with ten daemons each takes a third of it.
const LIMIT_BYTES: u64 = 2 << 30;
/// The longest line. Objects of the API are limited to 3 MiB.
const LINE_LIMIT_BYTES: u64 = 16 << 20;

/// What the first line says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// The version of the format.
    pub format: u32,
    /// When the cluster was read, in Unix seconds.
    pub taken_at: i64,
    /// What environment values were masked with.
    pub salt: String,
    /// The program that wrote the file.
    pub writer: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct First {
    everynode_snapshot: Header,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Last {
    end: Trailer,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trailer {
    records: u64,
    unseen: Vec<Unseen>,
    sha256: String,
}

/// Why a file cannot be used as a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Reading or writing failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It is something else.
    #[error("this is no snapshot: {0}")]
    Foreign(&'static str),
    /// A newer program wrote it.
    #[error(
        "the snapshot has format {format}, written by {writer}; this program reads formats up to {VERSION}: \
         use a newer everynode"
    )]
    Newer {
        /// Its format.
        format: u32,
        /// Who wrote it.
        writer: String,
    },
    /// It ends too early.
    #[error("the snapshot is cut off after {records} records: it was not written or copied to its end")]
    CutOff {
        /// Records that were read.
        records: u64,
    },
    /// It unpacks to more than is read.
    #[error("the snapshot unpacks to more than {LIMIT_BYTES} bytes, which no cluster fills")]
    TooLarge,
    /// It is whole, and holds what no cluster does.
    #[error("the snapshot was not taken of a cluster: {0}")]
    Implausible(String),
    /// Its content is not what was written.
    #[error("the snapshot is damaged: {0}")]
    Damaged(String),
}

/// Writes a snapshot, record by record.
pub struct Writer<W: Write> {
    out: BufWriter<GzEncoder<W>>,
    digest: Sha256,
    records: u64,
    line: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// What writing gives.
    pub fn new(out: W, header: Header) -> Result<Self, FileError> {
        let out = BufWriter::new(GzEncoder::new(out, Compression::fast()));
        let mut writer = Writer { out, digest: Sha256::new(), records: 0, line: Vec::new() };
        writer.line(&First { everynode_snapshot: header })?;
        Ok(writer)
    }

    /// Adds a record.
    ///
    /// # Errors
    /// What writing gives.
    pub fn write(&mut self, record: &Record) -> Result<(), FileError> {
        self.records += 1;
        self.line(record)
    }

    /// Ends the file and returns what it was written to, and the number of records.
    ///
    /// # Errors
    /// What writing gives.
    pub fn finish(mut self, unseen: Vec<Unseen>) -> Result<(W, u64), FileError> {
        let sha256 = hex(&self.digest.clone().finalize());
        self.line(&Last { end: Trailer { records: self.records, unseen, sha256 } })?;
        let encoder = self.out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        Ok((encoder.finish()?, self.records))
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), FileError> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, value).map_err(std::io::Error::from)?;
        self.line.push(b'\n');
        self.digest.update(&self.line);
        Ok(self.out.write_all(&self.line)?)
    }
}

/// Reads a whole snapshot and hands over its records. What `take` was given counts only when this succeeds.
///
/// # Errors
/// [`FileError`] that says what is wrong with the file.
pub fn read(
    from: impl Read,
    begin: impl FnOnce(&Header),
    take: impl FnMut(Record),
) -> Result<Vec<Unseen>, FileError> {
    read_within(LIMIT_BYTES, from, begin, take)
}

fn read_within(
    limit_bytes: u64,
    from: impl Read,
    begin: impl FnOnce(&Header),
    mut take: impl FnMut(Record),
) -> Result<Vec<Unseen>, FileError> {
    let from = BufReader::new(GzDecoder::new(from));
    let mut lines = Lines { from, left_bytes: limit_bytes, line: Vec::new(), records: 0 };
    let header = lines.header()?;
    begin(&header);
    let mut digest = Sha256::new();
    digest.update(&lines.line);
    while lines.next()? {
        if lines.line.starts_with(b"{\"end\":") {
            return lines.end(digest);
        }
        let record = serde_json::from_slice(&lines.line).map_err(|error| {
            FileError::Damaged(format!("record {} cannot be read: {error}", lines.records + 1))
        })?;
        lines.records += 1;
        let implausible = |why| FileError::Implausible(format!("its record {}: {why}", lines.records));
        plausible::check(&record).map_err(implausible)?;
        digest.update(&lines.line);
        take(record);
    }
    Err(FileError::CutOff { records: lines.records })
}

struct Lines<R: Read> {
    from: BufReader<GzDecoder<R>>,
    left_bytes: u64,
    line: Vec<u8>,
    records: u64,
}

impl<R: Read> Lines<R> {
    /// Reads a line; false at the end.
    fn next(&mut self) -> Result<bool, FileError> {
        self.line.clear();
        let mut limited = (&mut self.from).take(LINE_LIMIT_BYTES);
        match limited.read_until(b'\n', &mut self.line) {
            Ok(_) if self.line.len() as u64 == LINE_LIMIT_BYTES => {
                Err(FileError::Damaged("a line is far too long".into()))
            }
            Ok(read) => match self.left_bytes.checked_sub(read as u64) {
                Some(left) => {
                    self.left_bytes = left;
                    // A line without its end was cut.
                    Ok(self.line.ends_with(b"\n"))
                }
                None => Err(FileError::TooLarge),
            },
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) if self.records == 0 && error.kind() == std::io::ErrorKind::InvalidInput => {
                Err(FileError::Foreign("it is not compressed by gzip"))
            }
            Err(error) if is_about_content(&error) => Err(FileError::Damaged(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    fn header(&mut self) -> Result<Header, FileError> {
        if !self.next()? && self.line.is_empty() {
            return Err(FileError::Foreign("it is empty, or ends before its first line does"));
        }
        let foreign = FileError::Foreign("its first line is not a snapshot's");
        let First { everynode_snapshot: header } = match serde_json::from_slice(&self.line) {
            Ok(first) => first,
            Err(_) => return Err(self.newer().unwrap_or(foreign)),
        };
        if header.format > VERSION {
            return Err(FileError::Newer { format: header.format, writer: header.writer });
        }
        plausible::check_time(header.taken_at).map_err(|why| FileError::Implausible(why.into()))?;
        Ok(header)
    }

    /// A first line of which only the version can be understood.
    fn newer(&self) -> Option<FileError> {
        let first: serde_json::Value = serde_json::from_slice(&self.line).ok()?;
        let header = first.get("everynodeSnapshot")?;
        let format = u32::try_from(header["format"].as_u64()?).ok().filter(|format| *format > VERSION)?;
        Some(FileError::Newer { format, writer: header["writer"].as_str().unwrap_or("another").to_owned() })
    }

    fn end(&mut self, digest: Sha256) -> Result<Vec<Unseen>, FileError> {
        let Last { end } = serde_json::from_slice(&self.line)
            .map_err(|error| FileError::Damaged(format!("its last line cannot be read: {error}")))?;
        if end.records != self.records {
            let text = format!("it should hold {} records and holds {}", end.records, self.records);
            return Err(FileError::Damaged(text));
        }
        if end.sha256 != hex(&digest.finalize()) {
            return Err(FileError::Damaged("its checksum is another one".into()));
        }
        // The compressed stream has an end and a checksum of its own.
        match self.from.read(&mut [0]) {
            Ok(0) => Ok(end.unseen),
            Ok(_) => Err(FileError::Damaged("something follows its last line".into())),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(FileError::CutOff { records: self.records })
            }
            Err(error) => Err(FileError::Damaged(error.to_string())),
        }
    }
}

fn is_about_content(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput};
    matches!(error.kind(), InvalidData | InvalidInput)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
