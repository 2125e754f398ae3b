//! Reading of archives.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::{BLOCK_BYTES, Kind};

/// Entries of one archive.
const ENTRIES_LIMIT: u32 = 200_000;
/// A long name, or the fields that stand before an entry.
const FIELDS_LIMIT_BYTES: u64 = 64 << 10;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The file, or what it is made of, cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no archive, or damaged.
    #[error("damaged at byte {at}: {what}")]
    Damaged {
        /// Where the entry begins.
        at: u64,
        /// What is wrong there.
        what: &'static str,
    },
}

/// What is read from first to last, and may have a quick way past what nobody wants.
pub(crate) trait Skip: Read + Sized {
    /// Goes past some bytes.
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut Read::take(&mut *self, bytes), &mut io::sink())?;
        if skipped < bytes { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

impl Skip for Box<dyn Read + Send> {}
impl Skip for &[u8] {}
impl<R: Read> Skip for flate2::read::MultiGzDecoder<R> {}

impl Skip for BufReader<File> {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let length = self.get_ref().metadata()?.len();
        let target = self.stream_position()?.checked_add(bytes).filter(|target| *target <= length);
        self.seek(SeekFrom::Start(target.ok_or(io::ErrorKind::UnexpectedEof)?)).map(drop)
    }
}

/// An entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As the archive has it, but for `./` in front and `/` at the end.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    /// Permissions, with the bits for set-user-id and the like.
    pub(crate) mode: u32,
    /// What a link leads to.
    pub(crate) link: String,
    pub(crate) size: u64,
    /// Where the content begins.
    pub(crate) offset: u64,
}

/// Reads the entries one after the other. As a [`Read`] it gives the content of the entry that was read last.
pub(crate) struct Reader<R> {
    input: R,
    position: u64,
    /// What is left of the last entry's content, and what fills its last block.
    left: u64,
    padding: u64,
    entries: u32,
}

/// What may stand before an entry: fields that do not fit into its header.
#[derive(Default)]
struct Fields {
    path: Option<String>,
    link: Option<String>,
    size: Option<u64>,
}

impl<R: Skip> Reader<R> {
    pub(crate) fn new(input: R) -> Reader<R> {
        Reader { input, position: 0, left: 0, padding: 0, entries: 0 }
    }

    /// The next entry; `None` at the end.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut fields = Fields::default();
        loop {
            let rest = self.left.checked_add(self.padding).ok_or(self.damaged("a size is too large"))?;
            self.input.skip(rest)?;
            self.position += rest;
            (self.left, self.padding) = (0, 0);
            let Some(block) = self.header()? else { return Ok(None) };
            let size = number(&block[124..136]).ok_or(self.damaged("a size is no number"))?;
            self.begin_content(size)?;
            match block[156] {
                b'L' => fields.path = Some(text(&self.fields()?).ok_or(self.damaged("a name is no text"))?),
                b'K' => fields.link = Some(text(&self.fields()?).ok_or(self.damaged("a name is no text"))?),
                b'x' => {
                    let records = self.fields()?;
                    read_records(&records, &mut fields).ok_or(self.damaged("its fields are unreadable"))?;
                }
                // Fields of all entries: none of them is needed.
                b'g' => {}
                _ => return self.entry(&block, size, fields).map(Some),
            }
        }
    }

    /// Makes an entry of its header and of the fields before it.
    fn entry(&mut self, block: &[u8], size: u64, fields: Fields) -> Result<Entry, TarError> {
        let kind = match block[156] {
            b'0' | 0 | b'7' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'5' => Kind::Directory,
            _ => Kind::Other,
        };
        let size = fields.size.unwrap_or(size);
        self.begin_content(if kind == Kind::File { size } else { 0 })?;
        let name = text(&block[..100]).ok_or(self.damaged("a name is no text"))?;
        let is_posix = &block[257..263] == b"ustar\0";
        let folder = if is_posix { text(&block[345..500]).unwrap_or_default() } else { String::new() };
        let short = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let path = fields.path.unwrap_or(short);
        let path = path.trim_start_matches("./").trim_end_matches('/').to_owned();
        let link = text(&block[157..257]).ok_or(self.damaged("a link is no text"))?;
        let mode = number(&block[100..108]).and_then(|mode| u32::try_from(mode).ok());
        let mode = mode.ok_or(self.damaged("a mode is no number"))? & 0o7777;
        Ok(Entry {
            path,
            kind,
            mode,
            link: fields.link.unwrap_or(link),
            size: self.left,
            offset: self.position,
        })
    }

    /// The next header; `None` at the end, which is an empty block or the end of the input.
    fn header(&mut self) -> Result<Option<[u8; BLOCK_BYTES as usize]>, TarError> {
        let mut block = [0; BLOCK_BYTES as usize];
        let mut filled = 0;
        while filled < block.len() {
            match self.input.read(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(self.damaged("it ends within a header")),
                count => filled += count,
            }
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        // The sum counts itself as spaces.
        let own = |at: usize| (148..156).contains(&at);
        let sum: u64 =
            block.iter().enumerate().map(|(at, byte)| u64::from(if own(at) { b' ' } else { *byte })).sum();
        if number(&block[148..156]) != Some(sum) {
            return Err(self.damaged("this is no header of an archive"));
        }
        self.entries += 1;
        if self.entries > ENTRIES_LIMIT {
            return Err(self.damaged("it has too many entries"));
        }
        self.position += BLOCK_BYTES;
        Ok(Some(block))
    }

    fn begin_content(&mut self, size: u64) -> Result<(), TarError> {
        let end = self.position.checked_add(size).and_then(|end| end.checked_next_multiple_of(BLOCK_BYTES));
        end.ok_or(self.damaged("a size is too large"))?;
        (self.left, self.padding) = (size, size.next_multiple_of(BLOCK_BYTES) - size);
        Ok(())
    }

    /// The content of an entry that tells of the next one.
    fn fields(&mut self) -> Result<Vec<u8>, TarError> {
        if self.left > FIELDS_LIMIT_BYTES {
            return Err(self.damaged("a name is too long"));
        }
        let (size, mut content) = (self.left, Vec::new());
        self.read_to_end(&mut content)?;
        if (content.len() as u64) < size { Err(self.damaged("it ends within a name")) } else { Ok(content) }
    }

    fn damaged(&self, what: &'static str) -> TarError {
        TarError::Damaged { at: self.position, what }
    }
}

impl<R: Skip> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.by_ref().take(self.left).read(buffer)?;
        self.left -= count as u64;
        self.position += count as u64;
        Ok(count)
    }
}

/// A text up to the first zero byte.
fn text(field: &[u8]) -> Option<String> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8(field[..end].to_vec()).ok()
}

/// A number in octal digits or, with the first bit set, as its bytes.
fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let mut bytes = std::iter::once(first & 0x7f).chain(rest.iter().copied());
        return bytes.try_fold(0_u64, |sum, byte| sum.checked_mul(256)?.checked_add(u64::from(byte)));
    }
    let digits = text(field)?;
    let digits = digits.trim_matches(' ');
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

/// Reads the fields that stand before an entry in the form of POSIX: `LENGTH KEY=VALUE` and a line end.
fn read_records(mut records: &[u8], fields: &mut Fields) -> Option<()> {
    while !records.is_empty() {
        let space = records.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
        let record = records.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let value = || String::from_utf8(record[equals + 1..].to_vec()).ok();
        match &record[..equals] {
            b"path" => fields.path = Some(value()?),
            b"linkpath" => fields.link = Some(value()?),
            b"size" => fields.size = Some(value()?.parse().ok()?),
            _ => {}
        }
        records = &records[length..];
    }
    Some(())
}
