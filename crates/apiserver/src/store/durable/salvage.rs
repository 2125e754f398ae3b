//! What can still be read of a damaged file.

use std::fs::File;
use std::path::{Path, PathBuf};

use redb::Database;

use super::disk::Disk;
use super::{
    BackendError, Contents, Durable, FORMAT_VERSION, Pages, close, damaged, damaged_objects, file_of,
    io_error, make_private, open_database, read,
};
use crate::store::backend::{Backend, Record};

/// Damaged files that are kept beside the store; more than these are somebody's to look at.
const KEPT_FILES: usize = 100;

/// What a store goes on without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The objects that were damaged, as people name them.
    pub objects: Vec<String>,
    /// Where the damaged file is now.
    pub kept: PathBuf,
}

/// The objects of a damaged file that are what was written. The file is in use as long as this lives, and nothing is
/// written to it.
pub struct Rest {
    path: PathBuf,
    contents: Contents,
    database: Option<Database>,
}

impl Rest {
    /// Reads past the damage.
    ///
    /// # Errors
    /// What is left is no store in which each object has a checksum.
    pub fn read(path: &Path) -> Result<Rest, BackendError> {
        let database = open_database(path, Disk::new(file_of(path)?), Pages::Trusted)?;
        match read(&database, path) {
            Ok(Some(contents)) if contents.format == FORMAT_VERSION => {
                Ok(Rest { path: path.to_owned(), contents, database: Some(database) })
            }
            other => {
                close(Some(database));
                Err(other.err().unwrap_or_else(|| damaged(path, "nothing is known of its objects")))
            }
        }
    }

    /// The error that names the damaged objects.
    pub fn describe(self) -> BackendError {
        damaged_objects(&self.path, self.contents.damaged.clone())
    }

    /// Makes a new file of the objects, in the place of the damaged one, which is kept under another name.
    pub fn move_to_new_file(self) -> Result<LeftOut, BackendError> {
        let mut names = (1..=KEPT_FILES).map(|n| self.path.with_extension(format!("redb.damaged-{n}")));
        let Some(kept) = names.find(|path| !path.exists()) else {
            let path = self.path.display();
            return Err(BackendError::Io(format!("{KEPT_FILES} damaged files lie beside {path} already")));
        };
        let new = self.path.with_extension("redb.new");
        self.write(&new)?;
        let moved = std::fs::hard_link(&self.path, &kept).and_then(|()| std::fs::rename(&new, &self.path));
        moved.and_then(|()| sync_directory(&self.path)).map_err(|error| io_error(&error))?;
        Ok(LeftOut { objects: self.contents.damaged.clone(), kept })
    }

    fn write(&self, new: &Path) -> Result<(), BackendError> {
        // What an attempt before this one left.
        if new.exists() {
            std::fs::remove_file(new).map_err(|error| io_error(&error))?;
        }
        make_private(new).map_err(|error| io_error(&error))?;
        let record = |(key, object): &(String, Vec<u8>)| Record {
            key: key.clone(),
            bytes: Some(object.clone().into()),
        };
        let records: Vec<Record> = self.contents.objects.iter().map(record).collect();
        Durable::open_on(new.to_owned(), file_of(new)?)?.commit(&records, self.contents.revision)
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        close(self.database.take());
    }
}

/// Makes the names of the files last.
fn sync_directory(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}
