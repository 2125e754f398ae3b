//! The files that were rotated out of a log: `0.log.20060102-150405`, and with `.gz` when they were compressed.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

/// What a compressed file ends with, and one that is being written.
pub const COMPRESSED: &str = ".gz";
pub const TEMPORARY: &str = ".tmp";

/// Where bytes of a log come from.
pub type Source = Box<dyn BufRead + Send>;

/// What was rotated out of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Files that hold a part of the log, oldest first.
    pub in_use: Vec<PathBuf>,
    /// What an interrupted compression has left: unfinished files, and those whose compressed copy is complete.
    pub unused: Vec<PathBuf>,
}

impl Rotated {
    /// Of the log in this file.
    ///
    /// # Errors
    /// When its folder cannot be read.
    pub fn of(log: &Path) -> io::Result<Rotated> {
        let (Some(folder), Some(name)) = (log.parent(), log.file_name().and_then(|name| name.to_str()))
        else {
            return Ok(Rotated::default());
        };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let found = entry?.file_name().to_string_lossy().into_owned();
            let is_ours = found.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
            names.extend(is_ours.then_some(found));
        }
        names.sort_unstable();
        let is_unused = |name: &String| {
            name.ends_with(TEMPORARY)
                || !name.ends_with(COMPRESSED) && names.contains(&format!("{name}{COMPRESSED}"))
        };
        let (unused, in_use): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| is_unused(name));
        let paths = |names: Vec<&String>| names.into_iter().map(|name| folder.join(name)).collect();
        Ok(Rotated { in_use: paths(in_use), unused: paths(unused) })
    }
}

/// Whether a file is compressed.
pub fn is_compressed(file: &Path) -> bool {
    file.to_string_lossy().ends_with(COMPRESSED)
}

/// Opens a file that was rotated out, from its beginning.
///
/// # Errors
/// As the system says.
pub fn open(path: &Path) -> io::Result<Source> {
    let file = BufReader::new(File::open(path)?);
    Ok(match is_compressed(path) {
        true => Box::new(BufReader::new(MultiGzDecoder::new(file))),
        false => Box::new(file),
    })
}
