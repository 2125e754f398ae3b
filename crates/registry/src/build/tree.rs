//! The files of an image.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::error::BuildError;
use crate::archive::read_whole;

/// Files, directories and links of one image.
const NODES_LIMIT: usize = 100_000;
/// The mode of directories that nobody has named.
const DIRECTORY_MODE: u32 = 0o755;
/// Links that are followed for one path.
const LINKS_LIMIT: usize = 16;
/// A file of which the whole content is looked at.
const LOOK_LIMIT_BYTES: u64 = 1 << 30;

/// Something that is in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory with its mode.
    Directory(u32),
    /// A file with its mode.
    File(u32, Content),
    /// A link to a path, from where it stands.
    Symlink(String),
}

/// What a file has in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// What a file of this machine has.
    Of(PathBuf),
    /// These bytes.
    Bytes(Bytes),
}

impl Content {
    /// A reader of it, and how long it is.
    pub(crate) fn open(&self) -> Result<(Box<dyn Read + '_>, u64), BuildError> {
        match self {
            Content::Bytes(bytes) => Ok((Box::new(&**bytes), bytes.len() as u64)),
            Content::Of(path) => {
                let file = File::open(path).map_err(BuildError::reading(path))?;
                let size = file.metadata().map_err(BuildError::reading(path))?.len();
                Ok((Box::new(file), size))
            }
        }
    }

    /// All of it.
    pub(crate) fn read(&self) -> Result<Bytes, BuildError> {
        let path = match self {
            Content::Bytes(bytes) => return Ok(bytes.clone()),
            Content::Of(path) => path,
        };
        let mut content = Vec::new();
        let (reader, _) = self.open()?;
        reader.take(LOOK_LIMIT_BYTES).read_to_end(&mut content).map_err(BuildError::reading(path))?;
        Ok(content.into())
    }
}

/// The files of an image, by their paths. All of them belong to root.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// Puts something at a path, and makes the directories above it. What was there is replaced, but for a directory by
    /// a directory.
    ///
    /// # Errors
    /// The path makes no sense, or leads through a file or link.
    pub fn insert(&mut self, path: &str, node: Node) -> Result<(), BuildError> {
        let error = |why| BuildError::Path { path: path.to_owned(), why };
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.contains(&"..") {
            return Err(error("it leads upwards"));
        }
        if path.contains('\0') {
            return Err(error("it has a zero byte"));
        }
        for end in 1..parts.len() {
            let above = self.nodes.entry(parts[..end].join("/")).or_insert(Node::Directory(DIRECTORY_MODE));
            if !matches!(above, Node::Directory(_)) {
                return Err(error("it leads through what is no directory in the image"));
            }
        }
        let place = parts.join("/");
        match (self.nodes.get(&place), &node) {
            // The root is always there.
            _ if parts.is_empty() => return Ok(()),
            (Some(Node::Directory(_)), Node::File(..) | Node::Symlink(_)) => {
                return Err(error("a directory is there already"));
            }
            _ => {}
        }
        self.nodes.insert(place, node);
        if self.nodes.len() > NODES_LIMIT {
            return Err(error("the image would have more than 100000 files"));
        }
        Ok(())
    }

    /// Puts a file of this machine at a path. A link is followed.
    ///
    /// # Errors
    /// It is no file, or the path makes no sense.
    pub fn add_file(&mut self, source: &Path, path: &str) -> Result<(), BuildError> {
        let found = fs::metadata(source).map_err(BuildError::reading(source))?;
        if !found.is_file() {
            return Err(BuildError::Special { path: source.to_owned() });
        }
        self.insert(path, Node::File(mode(&found), Content::Of(source.to_owned())))
    }

    /// Puts a directory of this machine, with all below it, at a path. Links stay links.
    ///
    /// # Errors
    /// Something there cannot be read, or is no file, directory or link.
    pub fn add_directory(&mut self, source: &Path, path: &str) -> Result<(), BuildError> {
        let found = fs::metadata(source).map_err(BuildError::reading(source))?;
        let entries = fs::read_dir(source).map_err(BuildError::reading(source))?;
        self.insert(path, Node::Directory(mode(&found)))?;
        for entry in entries {
            let entry = entry.map_err(BuildError::reading(source))?;
            let name = entry.file_name();
            let name = name.to_str().ok_or_else(|| BuildError::Path {
                path: entry.path().to_string_lossy().into_owned(),
                why: "it is no text",
            })?;
            let inner = format!("{path}/{name}");
            match self.node_of(&entry.path())? {
                Node::Directory(_) => self.add_directory(&entry.path(), &inner)?,
                node => self.insert(&inner, node)?,
            }
        }
        Ok(())
    }

    /// What is at a path of this machine.
    pub(crate) fn node_of(&self, source: &Path) -> Result<Node, BuildError> {
        let found = fs::symlink_metadata(source).map_err(BuildError::reading(source))?;
        if found.is_dir() {
            return Ok(Node::Directory(mode(&found)));
        }
        if found.is_file() {
            return Ok(Node::File(mode(&found), Content::Of(source.to_owned())));
        }
        if found.is_symlink() {
            let target = fs::read_link(source).map_err(BuildError::reading(source))?;
            return Ok(Node::Symlink(target.to_string_lossy().into_owned()));
        }
        Err(BuildError::Special { path: source.to_owned() })
    }

    /// What is at a path.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path.trim_start_matches('/'))
    }

    /// All of it, in the order of the paths: a directory before what is in it.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// Whether a path leads to a file in the image, links followed.
    pub fn has(&self, path: &str) -> bool {
        self.resolve(path).is_some()
    }

    /// The file that a path leads to, links followed; `None` when there is none in the image.
    pub(crate) fn resolve(&self, path: &str) -> Option<&Content> {
        let mut open: Vec<&str> = path.rsplit('/').collect();
        let mut place: Vec<&str> = Vec::new();
        let mut links = 0;
        while let Some(part) = open.pop() {
            match part {
                "" | "." => continue,
                ".." => {
                    place.pop();
                    continue;
                }
                part => place.push(part),
            }
            match self.nodes.get(&place.join("/"))? {
                Node::Directory(_) => {}
                Node::File(_, content) => return open.is_empty().then_some(content),
                Node::Symlink(target) => {
                    links += 1;
                    place.pop();
                    if target.starts_with('/') {
                        place.clear();
                    }
                    open.extend(target.rsplit('/'));
                }
            }
            if links > LINKS_LIMIT {
                return None;
            }
        }
        None
    }
}

fn mode(found: &Metadata) -> u32 {
    found.permissions().mode() & 0o7777
}

/// Reads the content of a node that comes from outside, within what is left of a limit.
pub(crate) fn read_within(content: &mut dyn Read, size: u64, left: &mut u64) -> io::Result<Option<Bytes>> {
    let Some(rest) = left.checked_sub(size) else { return Ok(None) };
    *left = rest;
    read_whole(content, size).map(Some)
}
