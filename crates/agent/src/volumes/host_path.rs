//! Files and folders of the node.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use crate::pod_spec::HostPath;

/// Why a path of the node cannot be a volume.
#[derive(Debug, thiserror::Error)]
pub enum HostPathError {
    /// It is not what was asked for.
    #[error("hostPath type check failed: {path} is not a {wanted}")]
    Other {
        /// The path.
        path: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// There is no such type.
    #[error("hostPath type {0:?} is not known")]
    Type(String),
    /// The system refused to make it.
    #[error("{path}: {cause}")]
    Io {
        /// The path.
        path: String,
        /// What the system said.
        cause: std::io::Error,
    },
}

/// Sees that what a pod asks for is there, and makes it where that was asked for.
///
/// # Errors
/// When something else is there, or nothing where nothing is made.
pub fn ensure(volume: &HostPath) -> Result<(), HostPathError> {
    let path = Path::new(&volume.path);
    let found = fs::metadata(path).ok().map(|found| found.file_type());
    let is = |holds: fn(&fs::FileType) -> bool, wanted: &'static str| match found.as_ref().is_some_and(holds)
    {
        true => Ok(()),
        false => Err(HostPathError::Other { path: volume.path.clone(), wanted }),
    };
    let made = |made: std::io::Result<()>| {
        made.map_err(|cause| HostPathError::Io { path: volume.path.clone(), cause })
    };
    match (volume.kind.as_str(), &found) {
        // The runtime makes a folder of what is not there.
        ("", _) => Ok(()),
        ("DirectoryOrCreate", None) => made(fs::DirBuilder::new().recursive(true).mode(0o755).create(path)),
        ("FileOrCreate", None) => {
            made(fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path).map(drop))
        }
        ("DirectoryOrCreate" | "Directory", _) => is(fs::FileType::is_dir, "directory"),
        ("FileOrCreate" | "File", _) => is(fs::FileType::is_file, "file"),
        ("Socket", _) => is(fs::FileType::is_socket, "socket file"),
        ("CharDevice", _) => is(fs::FileType::is_char_device, "character device"),
        ("BlockDevice", _) => is(fs::FileType::is_block_device, "block device"),
        (other, _) => Err(HostPathError::Type(other.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_what_was_asked_for_or_is_made_where_that_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, kind: &str, is_right: bool, is_there: bool| {
            let path = folder.path().join(name);
            let volume = HostPath { path: path.to_string_lossy().into_owned(), kind: kind.to_owned() };
            assert_eq!((ensure(&volume).is_ok(), path.exists()), (is_right, is_there), "{name} {kind}");
        };
        check("a", "", true, false);
        check("a", "Directory", false, false);
        check("a/b", "DirectoryOrCreate", true, true);
        check("a/b", "Directory", true, true);
        check("a/b", "File", false, true);
        check("f", "FileOrCreate", true, true);
        check("f", "DirectoryOrCreate", false, true);
        check("none/f", "FileOrCreate", false, false);
        check("/dev/null", "CharDevice", true, true);
        check("f", "Socket", false, true);
        check("f", "Other", false, true);
    }
}
