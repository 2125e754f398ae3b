//! Files and directories that hold secrets on a machine with other users: ours alone, or not used.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

const OWNER_ONLY_DIRECTORY: u32 = 0o700;
const OWNER_ONLY_FILE: u32 = 0o600;
/// Group and others may write.
const OTHERS_WRITE: u32 = 0o022;

/// Random names that are tried before giving up.
const NAME_ATTEMPTS: usize = 16;

/// Why a file or directory is not used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// It has another owner.
    #[error("{path} belongs to another user (uid {owner})")]
    NotOurs {
        /// The file or directory.
        path: String,
        /// Whose it is.
        owner: u32,
    },
    /// Others could have put something into it.
    #[error("{path} may be written by other users (mode {mode:03o})")]
    OthersWrite {
        /// The file or directory.
        path: String,
        /// Its permissions.
        mode: u32,
    },
    /// It is a link, a pipe or something else.
    #[error("{path} is no plain file")]
    NoFile {
        /// The path.
        path: String,
    },
    /// It cannot be looked at or changed.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Makes a directory with mode 0700 where there is none, and takes one that is there only if it is ours and nobody
/// else may write to it. What others may only read is closed to them; the note says so.
///
/// # Errors
/// It cannot be made, or is not ours alone.
pub fn make_directory(path: &Path) -> Result<Option<String>, PrivateError> {
    let io = |source| PrivateError::Io { path: path.display().to_string(), source };
    if path.exists() && !path.is_dir() {
        return Err(io(io::ErrorKind::NotADirectory.into()));
    }
    DirBuilder::new().recursive(true).mode(OWNER_ONLY_DIRECTORY).create(path).map_err(io)?;
    // Who owns a link says where it leads.
    check_owner(path, &fs::symlink_metadata(path).map_err(io)?)?;
    close_to_others(path, &fs::metadata(path).map_err(io)?, OWNER_ONLY_DIRECTORY)
}

/// Takes a file that is there only if it is a plain one, ours, and nobody else may write to it. What others may only
/// read is closed to them; the note says so. A file that is not there is fine.
///
/// # Errors
/// It cannot be looked at, or is not ours alone.
pub fn check_file(path: &Path) -> Result<Option<String>, PrivateError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(PrivateError::Io { path: path.display().to_string(), source }),
    };
    if !metadata.is_file() {
        return Err(PrivateError::NoFile { path: path.display().to_string() });
    }
    close_to_others(path, &metadata, OWNER_ONLY_FILE)
}

fn check_owner(path: &Path, metadata: &Metadata) -> Result<(), PrivateError> {
    let owner = metadata.uid();
    if owner == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(PrivateError::NotOurs { path: path.display().to_string(), owner })
}

fn close_to_others(path: &Path, metadata: &Metadata, to: u32) -> Result<Option<String>, PrivateError> {
    check_owner(path, metadata)?;
    let shown = path.display().to_string();
    let mode = metadata.mode() & 0o777;
    if mode & OTHERS_WRITE != 0 {
        return Err(PrivateError::OthersWrite { path: shown, mode });
    }
    if mode & !to == 0 {
        return Ok(None);
    }
    let closed = mode & to;
    let set = fs::set_permissions(path, Permissions::from_mode(closed));
    set.map_err(|source| PrivateError::Io { path: shown.clone(), source })?;
    Ok(Some(format!("{shown} was open to other users (mode {mode:03o}); its mode is {closed:03o} now")))
}

/// Makes a directory with a random name that only we can use, for as long as the process lives: in the user's
/// runtime directory where there is one, or else in the system's temporary directory.
///
/// # Errors
/// It cannot be made.
pub fn make_temporary_directory() -> io::Result<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let base = runtime.filter(|path| is_ours_alone(path)).unwrap_or_else(std::env::temp_dir);
    with_random_name(|name| {
        let path = base.join(format!("everynode-{name}"));
        // Fails where something has that name, a link too.
        DirBuilder::new().mode(OWNER_ONLY_DIRECTORY).create(&path).map(|()| path)
    })
}

fn is_ours_alone(path: &Path) -> bool {
    let ours = |found: Metadata| check_owner(path, &found).is_ok() && found.mode() & OTHERS_WRITE == 0;
    path.is_absolute() && path.is_dir() && fs::metadata(path).is_ok_and(ours)
}

/// A new file, readable by its owner only, beside another one, with a random name.
///
/// # Errors
/// It cannot be made.
pub fn create_beside(path: &Path) -> io::Result<(File, PathBuf)> {
    with_random_name(|random| {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{random}"));
        let beside = path.with_file_name(name);
        // Fails where something has that name, a link too.
        let file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY_FILE).open(&beside)?;
        Ok((file, beside))
    })
}

fn with_random_name<T>(make: impl Fn(&str) -> io::Result<T>) -> io::Result<T> {
    for _ in 1..NAME_ATTEMPTS {
        match make(&format!("{:016x}", fastrand::u64(..))) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            done => return done,
        }
    }
    make(&format!("{:016x}", fastrand::u64(..)))
}

/// Puts a file that only its owner can read in the place of another one, in one step: no reader sees half of it, and
/// it is on the disk.
///
/// # Errors
/// It cannot be written; the old one is there then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (mut file, beside) = create_beside(path)?;
    let written =
        file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // It is of no use; what matters has failed already.
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn what_others_may_read_is_closed_and_what_they_may_write_is_refused() {
        let here = tempfile::tempdir().unwrap();
        let file = here.path().join("file");
        fs::write(&file, "").unwrap();
        let check = |before: u32, expected: Result<u32, ()>| {
            for (path, closed) in [(here.path(), OWNER_ONLY_DIRECTORY), (&file, OWNER_ONLY_FILE)] {
                fs::set_permissions(path, Permissions::from_mode(before | 0o700)).unwrap();
                let is_directory = path == here.path();
                let note = if is_directory { make_directory(path) } else { check_file(path) };
                match expected {
                    Ok(after) => {
                        assert!(note.is_ok(), "{note:?}");
                        assert_eq!(mode(path), after & closed, "{}", path.display());
                    }
                    Err(()) => {
                        assert!(matches!(note, Err(PrivateError::OthersWrite { .. })), "{note:?}");
                        assert_eq!(mode(path), before | 0o700);
                    }
                }
            }
            fs::set_permissions(here.path(), Permissions::from_mode(0o700)).unwrap();
        };
        check(0o700, Ok(0o700));
        check(0o755, Ok(0o700));
        check(0o740, Ok(0o700));
        check(0o720, Err(()));
        check(0o777, Err(()));
    }

    #[test]
    fn a_link_is_no_file_and_is_never_written_through() {
        let here = tempfile::tempdir().unwrap();
        let at = |name: &str| here.path().join(name);
        fs::write(at("victim"), "old").unwrap();
        std::os::unix::fs::symlink(at("victim"), at("link")).unwrap();
        assert!(matches!(check_file(&at("link")), Err(PrivateError::NoFile { .. })));
        replace(&at("link"), b"new").unwrap();
        assert_eq!(fs::read_to_string(at("victim")).unwrap(), "old");
        assert_eq!(fs::read_to_string(at("link")).unwrap(), "new");
        assert_eq!(mode(&at("link")), 0o600);
        assert_eq!(fs::read_dir(here.path()).unwrap().count(), 2, "nothing is left beside");
        assert!(check_file(&at("missing")).unwrap().is_none());
    }
}
