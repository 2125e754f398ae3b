//! Why an image cannot be made.

use std::io;
use std::path::{Path, PathBuf};

use crate::tar::TarError;

/// Why an image cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The image cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The place of a file in the image makes no sense.
    #[error("{path:?} cannot be a path in an image: {why}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What is asked for is neither a file, nor a directory, nor a link.
    #[error("{} is neither a file, nor a directory, nor a link", path.display())]
    Special {
        /// Where it is.
        path: PathBuf,
    },
    /// A directory or package has more than an image may have.
    #[error("{} has {what}", path.display())]
    TooMuch {
        /// The directory or package.
        path: PathBuf,
        /// What there is too much of.
        what: &'static str,
    },
    /// A program that a file claims to be cannot be read as one.
    #[error("{path} is a program that cannot be read: {why}")]
    Program {
        /// Its place in the image.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A library is not on this machine.
    #[error("{path} needs {library}, which is not in the library directories of this machine")]
    Library {
        /// Who needs it; a place in the image.
        path: String,
        /// What is needed.
        library: String,
    },
    /// A package is not installed here.
    #[error("the package {package} is not installed on this machine")]
    NotInstalled {
        /// Its name.
        package: String,
    },
    /// A name is no name of a package.
    #[error("{package:?} is no name of a package of Debian")]
    NoPackage {
        /// The name.
        package: String,
    },
    /// A program that is needed is not here.
    #[error("{program} is needed, and not on this machine")]
    Missing {
        /// The program.
        program: &'static str,
    },
    /// A program did not do what it was started for.
    #[error("{program} failed: {words}")]
    Failed {
        /// The program.
        program: &'static str,
        /// What it said.
        words: String,
    },
    /// A package is damaged.
    #[error("{}: {source}", path.display())]
    Archive {
        /// The package.
        path: PathBuf,
        /// What is wrong with it.
        source: TarError,
    },
    /// A directory of the name is there already.
    #[error("{} is there already", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
}

impl BuildError {
    /// For `map_err`.
    pub(crate) fn reading(path: &Path) -> impl Fn(io::Error) -> BuildError {
        move |source| BuildError::Read { path: path.to_owned(), source }
    }

    /// For `map_err`.
    pub(crate) fn writing(path: &Path) -> impl Fn(io::Error) -> BuildError {
        move |source| BuildError::Write { path: path.to_owned(), source }
    }
}
