//! The kubeconfig that `up` writes.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Storage, UpConfig};

/// A kubeconfig on disk, readable by its owner only. One in a temporary place goes with the cluster.
#[derive(Debug)]
pub struct Kubeconfig {
    path: PathBuf,
    temporary: Option<PathBuf>,
}

impl Kubeconfig {
    /// Writes it where the configuration says: the named file, the data directory, or a temporary directory.
    pub fn write(config: &UpConfig, text: &str) -> Result<Kubeconfig, (PathBuf, io::Error)> {
        let (path, temporary) = match (&config.kubeconfig, &config.storage) {
            (Some(file), _) => (file.clone(), None),
            (None, Storage::Directory(directory)) => (directory.join("kubeconfig"), None),
            (None, Storage::Ephemeral) => {
                let directory = std::env::temp_dir().join(format!("everynode-{}", std::process::id()));
                (directory.join("kubeconfig"), Some(directory))
            }
        };
        let written = match &temporary {
            Some(directory) => make_private(directory).and_then(|()| write_private(&path, text)),
            None => write_private(&path, text),
        };
        // What is printed is used from other directories too.
        let path = std::path::absolute(&path).unwrap_or(path);
        match written {
            Ok(()) => Ok(Kubeconfig { path, temporary }),
            Err(error) => Err((path, error)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Kubeconfig {
    fn drop(&mut self) {
        if let Some(directory) = &self.temporary {
            // The file names a server that is gone; what cannot be removed is harmless.
            let _ = std::fs::remove_file(&self.path);
            let _ = std::fs::remove_dir(directory);
        }
    }
}

fn make_private(directory: &Path) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(directory) {
        // A leftover of a process with the same number that was killed.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))
        }
        other => other,
    }
}

/// Replaces the file in one step, so that no reader sees half of it.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let new = path.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    std::fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_is_readable_by_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kubeconfig");
        std::fs::write(&path, "old").unwrap();
        write_private(&path, "new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
