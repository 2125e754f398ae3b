//! The kubeconfig that `up` writes.

use std::io;
use std::path::{Path, PathBuf};

use everynode_apiserver::private;

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
                let made = private::make_temporary_directory();
                let directory = made.map_err(|error| (std::env::temp_dir(), error))?;
                (directory.join("kubeconfig"), Some(directory))
            }
        };
        let written = private::replace(&path, text.as_bytes());
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
