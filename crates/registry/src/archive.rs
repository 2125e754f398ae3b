//! A file or directory that holds others, and contents out of it.
//!
//! Nothing is unpacked: of an archive it is known where in it each content stands. A compressed archive is read from
//! its beginning for each content.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use crate::digest::{Digest, Hashing};
use crate::document::DOCUMENT_LIMIT_BYTES;
use crate::tar::{Kind, Reader, Skip, TarError};

/// Links within an archive that are followed for one name.
const LINKS_LIMIT: usize = 8;

/// The first bytes of what gzip has written.
pub(crate) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A file or directory with files in it.
#[derive(Debug)]
pub(crate) struct Archive {
    path: PathBuf,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Directory,
    Tar { is_compressed: bool, entries: HashMap<String, Held> },
}

/// What an archive has under a name.
#[derive(Debug)]
enum Held {
    Content {
        offset: u64,
        size: u64,
    },
    /// Another name.
    Link(String),
}

impl Archive {
    /// Looks at what there is.
    ///
    /// # Errors
    /// It cannot be read, or is neither a directory nor an archive.
    pub(crate) fn open(path: &Path) -> Result<Archive, TarError> {
        let path = path.to_owned();
        if path.is_dir() {
            return Ok(Archive { path, form: Form::Directory });
        }
        let mut magic = Vec::new();
        File::open(&path)?.take(GZIP_MAGIC.len() as u64).read_to_end(&mut magic)?;
        let is_compressed = magic == GZIP_MAGIC;
        let file = BufReader::new(File::open(&path)?);
        let entries = match is_compressed {
            true => entries(Reader::new(MultiGzDecoder::new(file)))?,
            false => entries(Reader::new(file))?,
        };
        Ok(Archive { path, form: Form::Tar { is_compressed, entries } })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The content of a name, and its size; `None` when there is no such content. In directories names come from this
    /// crate or are digests: a name that a document tells is looked up in archives alone.
    pub(crate) fn content(&self, name: &str) -> io::Result<Option<(Box<dyn Read + Send>, u64)>> {
        let (is_compressed, entries) = match &self.form {
            Form::Directory => return content_of_file(&self.path.join(name)),
            Form::Tar { is_compressed, entries } => (*is_compressed, entries),
        };
        let Some((offset, size)) = place(entries, name) else { return Ok(None) };
        let mut file = BufReader::new(File::open(&self.path)?);
        let content: Box<dyn Read + Send> = if is_compressed {
            let mut content = MultiGzDecoder::new(file);
            content.skip(offset)?;
            Box::new(content.take(size))
        } else {
            file.skip(offset)?;
            Box::new(file.take(size))
        };
        Ok(Some((content, size)))
    }

    /// The whole content of a name that is a document.
    pub(crate) fn document(&self, name: &str) -> io::Result<Option<Bytes>> {
        let Some((mut content, size)) = self.content(name)? else { return Ok(None) };
        read_document(&mut content, size).map(Some)
    }

    /// Whether names in it may come from documents.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self.form, Form::Tar { .. })
    }
}

/// Reads a whole document.
pub(crate) fn read_document(content: &mut dyn Read, size: u64) -> io::Result<Bytes> {
    if size > DOCUMENT_LIMIT_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a document of it has more than 4 MiB"));
    }
    read_whole(content, size)
}

/// Reads a content of this size, which somebody has held against a limit.
pub(crate) fn read_whole(content: &mut dyn Read, size: u64) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    content.take(size).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < size { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes.into()) }
}

/// Where everything stands in an archive. A later entry of the same name takes the place of an earlier one, as when it
/// is unpacked.
fn entries<R: Skip>(mut reader: Reader<R>) -> Result<HashMap<String, Held>, TarError> {
    let mut entries = HashMap::new();
    while let Some(entry) = reader.next_entry()? {
        let held = match entry.kind {
            Kind::File => Held::Content { offset: entry.offset, size: entry.size },
            Kind::HardLink => Held::Link(entry.link),
            Kind::Symlink => match target(&entry.path, &entry.link) {
                Some(target) => Held::Link(target),
                None => continue,
            },
            Kind::Directory | Kind::Other => continue,
        };
        entries.insert(entry.path, held);
    }
    Ok(entries)
}

/// The name that a symbolic link leads to; `None` when it leads out of the archive.
fn target(path: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    if link.starts_with('/') {
        return None;
    }
    for part in link.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Where the content of a name stands, and how long it is.
fn place(entries: &HashMap<String, Held>, name: &str) -> Option<(u64, u64)> {
    let mut name = name;
    for _ in 0..LINKS_LIMIT {
        match entries.get(name)? {
            Held::Content { offset, size } => return Some((*offset, *size)),
            Held::Link(target) => name = target,
        }
    }
    None
}

/// The content of a regular file: a link could lead anywhere, and a pipe never ends.
fn content_of_file(path: &Path) -> io::Result<Option<(Box<dyn Read + Send>, u64)>> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {
            Ok(Some((Box::new(File::open(path)?.take(found.len())), found.len())))
        }
        Ok(_) => Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A content as it is read, held against its digest: reading fails at its end when it is another one.
pub struct Blob {
    /// What it should be.
    digest: Digest,
    size: u64,
    /// Where it comes from, for messages.
    file: PathBuf,
    content: Hashing<Box<dyn Read + Send>>,
    /// Whether all of it is read.
    is_whole: bool,
}

impl Blob {
    pub(crate) fn new(digest: Digest, size: u64, file: PathBuf, content: Box<dyn Read + Send>) -> Blob {
        Blob { digest, size, file, content: Hashing::new(content), is_whole: true }
    }

    pub(crate) fn in_memory(digest: Digest, content: Bytes) -> Blob {
        let size = content.len() as u64;
        Blob::new(digest, size, PathBuf::new(), Box::new(io::Cursor::new(content)))
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The archive that it is from; empty for what is built in.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// The part of it from a byte on. A part is not held against the digest.
    ///
    /// # Errors
    /// It cannot be read, or ends before.
    pub fn skip(mut self, bytes: u64) -> io::Result<Blob> {
        io::copy(&mut self.content.by_ref().take(bytes), &mut io::sink())?;
        self.is_whole = false;
        Ok(self)
    }

    fn damaged(&self, what: &str) -> io::Error {
        let words = format!("{}: {what} of {}", self.file.display(), self.digest);
        io::Error::new(io::ErrorKind::InvalidData, words)
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        let is_end = count == 0 && !buffer.is_empty() || self.content.length() == self.size;
        if is_end && self.content.length() < self.size {
            return Err(self.damaged("it ends within the content"));
        }
        if is_end && self.is_whole && self.content.digest() != self.digest {
            return Err(self.damaged("another content stands in the place"));
        }
        Ok(count)
    }
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({}, {} bytes)", self.digest, self.size)
    }
}
