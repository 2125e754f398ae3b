//! Writing of archives.

use std::io::{self, Read, Seek, SeekFrom, Write};

use super::{BLOCK_BYTES, Kind};

/// The largest size that the header of an entry can tell.
const SIZE_LIMIT_BYTES: u64 = (8 << 30) - 1;
/// The longest path or link that fits into a header.
const SHORT_BYTES: usize = 100;

/// What the header of an entry tells. All belongs to root.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header<'a> {
    pub(crate) path: &'a str,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    /// What a link leads to.
    pub(crate) link: &'a str,
    pub(crate) size: u64,
    /// When it was changed, in seconds since 1970.
    pub(crate) modified_seconds: u64,
}

/// Writes entries one after the other.
pub(crate) struct Writer<W> {
    output: W,
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(output: W) -> Writer<W> {
        Writer { output }
    }

    /// Writes an entry.
    ///
    /// # Errors
    /// Those of reading and writing; a content that is not as long as the header says.
    pub(crate) fn entry(&mut self, header: &Header<'_>, content: &mut dyn Read) -> io::Result<()> {
        let long = long_fields(header);
        if !long.is_empty() {
            let fields =
                Header { path: "fields", kind: Kind::Other, link: "", size: long.len() as u64, ..*header };
            self.output.write_all(&block(&fields, b'x')?)?;
            self.output.write_all(&long)?;
            self.fill(fields.size)?;
        }
        self.output.write_all(&header_block(header)?)?;
        let written = io::copy(&mut content.take(header.size), &mut self.output)?;
        if written < header.size {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "a file became shorter while it was read",
            ));
        }
        self.fill(header.size)
    }

    /// Fills the last block of a content.
    fn fill(&mut self, size: u64) -> io::Result<()> {
        let padding = size.next_multiple_of(BLOCK_BYTES) - size;
        io::copy(&mut io::repeat(0).take(padding), &mut self.output).map(drop)
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.fill(1)?;
        io::copy(&mut io::repeat(0).take(2 * BLOCK_BYTES), &mut self.output)?;
        Ok(self.output)
    }
}

impl<W: Write + Seek> Writer<W> {
    /// Begins an entry of which nothing is known before its content is written; gives where.
    pub(crate) fn begin(&mut self) -> io::Result<u64> {
        let start = self.output.stream_position()?;
        self.output.write_all(&[0; BLOCK_BYTES as usize])?;
        Ok(start)
    }

    /// Where the content of such an entry is written to.
    pub(crate) fn output(&mut self) -> &mut W {
        &mut self.output
    }

    /// Completes such an entry.
    pub(crate) fn complete(&mut self, start: u64, header: &Header<'_>) -> io::Result<()> {
        self.fill(header.size)?;
        self.output.seek(SeekFrom::Start(start))?;
        self.output.write_all(&header_block(header)?)?;
        self.output.seek(SeekFrom::End(0)).map(drop)
    }
}

/// The fields that do not fit into the header of an entry.
fn long_fields(header: &Header<'_>) -> Vec<u8> {
    let mut fields = Vec::new();
    for (key, value) in [("path", header.path), ("linkpath", header.link)] {
        if value.len() > SHORT_BYTES {
            let rest = format!(" {key}={value}\n");
            // The length counts its own digits.
            let mut length = rest.len();
            while length != rest.len() + length.to_string().len() {
                length = rest.len() + length.to_string().len();
            }
            fields.extend(format!("{length}{rest}").bytes());
        }
    }
    fields
}

/// The header of an entry, as bytes.
///
/// # Errors
/// A size that no header can tell.
fn header_block(header: &Header<'_>) -> io::Result<[u8; BLOCK_BYTES as usize]> {
    let kind = match header.kind {
        Kind::File | Kind::Other => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::Directory => b'5',
    };
    block(header, kind)
}

fn block(header: &Header<'_>, kind: u8) -> io::Result<[u8; BLOCK_BYTES as usize]> {
    if header.size > SIZE_LIMIT_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a file has 8 GiB or more"));
    }
    let mut block = [0; BLOCK_BYTES as usize];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    let short = |text: &str| text.as_bytes()[..text.len().min(SHORT_BYTES)].to_vec();
    put(0, &short(header.path));
    put(100, format!("{:07o}", header.mode & 0o7777).as_bytes());
    put(108, b"0000000\x000000000");
    put(124, format!("{:011o}", header.size).as_bytes());
    put(136, format!("{:011o}", header.modified_seconds.min(SIZE_LIMIT_BYTES)).as_bytes());
    // The sum counts itself as spaces.
    put(148, b"        ");
    put(156, &[kind]);
    put(157, &short(header.link));
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().copied().map(u32::from).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}
