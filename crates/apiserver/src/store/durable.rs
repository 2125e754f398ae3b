//! The durable backend: one redb file in the data directory.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, StorageError, TableDefinition,
};

use crate::panics::contained;

use super::backend::{Backend, BackendError, Loaded, Record};

const OBJECTS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("objects");
const FACTS: TableDefinition<'static, &str, u64> = TableDefinition::new("facts");
const FORMAT: &str = "format";
const REVISION: &str = "revision";

/// The layout of the tables; raised when an older program could not read them.
const FORMAT_VERSION: u64 = 1;

/// Pages that redb keeps in memory; all objects are in memory anyway.
const CACHE_BYTES: usize = 16 << 20;

/// Objects in a file with checksums, atomic commits and a lock.
#[derive(Debug)]
pub struct Durable {
    database: Database,
    path: PathBuf,
}

impl Durable {
    /// Opens or creates `store.redb` in a directory that exists.
    pub fn open(directory: &Path) -> Result<Durable, BackendError> {
        let path = directory.join("store.redb");
        // The secrets are made after the store, so beside an empty one they say that it held something.
        let empty = std::fs::metadata(&path).is_ok_and(|found| found.len() == 0);
        if empty && directory.join("pki.json").exists() {
            return Err(damaged(&path, "it is empty"));
        }
        make_private(&path).map_err(|error| io_error(&error))?;
        Durable::open_with(path.clone(), directory, &|builder| builder.create(&path))
    }

    /// Opens or creates a store on a disk of the caller's making.
    #[cfg(test)]
    pub(super) fn open_on(disk: impl redb::StorageBackend + Clone) -> Result<Durable, BackendError> {
        Durable::open_with(PathBuf::from("disk"), Path::new("disk"), &|builder| {
            builder.create_with_backend(disk.clone())
        })
    }

    fn open_with(
        path: PathBuf,
        directory: &Path,
        create: &dyn Fn(&redb::Builder) -> Result<Database, DatabaseError>,
    ) -> Result<Durable, BackendError> {
        let mut builder = redb::Builder::new();
        builder.set_cache_size(CACHE_BYTES);
        // A damaged file can make the reader fail in ways that are not errors; none may end the process.
        let opened = contained(|| create(&builder));
        let database = match opened {
            Ok(Ok(database)) => database,
            Ok(Err(error)) => return Err(open_error(&path, directory, error)),
            Err(_) => return Err(unreadable(&path)),
        };
        let mut durable = Durable { database, path };
        contained(|| durable.check_format()).unwrap_or_else(|_| Err(unreadable(&durable.path)))?;
        Ok(durable)
    }

    fn check_format(&mut self) -> Result<(), BackendError> {
        let mut transaction = self.database.begin_write().map_err(|e| self.error(e))?;
        transaction.set_durability(Durability::Immediate).map_err(|e| self.error(e))?;
        {
            let mut facts = transaction.open_table(FACTS).map_err(|e| self.error(e))?;
            let found = facts.get(FORMAT).map_err(|e| self.error(e))?.map(|value| value.value());
            match found {
                Some(FORMAT_VERSION) => return Ok(()),
                Some(other) => {
                    return Err(BackendError::Foreign {
                        path: self.path.display().to_string(),
                        detail: format!("its format is {other}, and {FORMAT_VERSION} is the one known here"),
                    });
                }
                None => {
                    facts.insert(FORMAT, FORMAT_VERSION).map_err(|e| self.error(e))?;
                    facts.insert(REVISION, 0).map_err(|e| self.error(e))?;
                }
            }
            transaction.open_table(OBJECTS).map_err(|e| self.error(e))?;
        }
        transaction.commit().map_err(|e| self.error(e))
    }

    fn read_all(&self) -> Result<Loaded, BackendError> {
        let transaction = self.database.begin_read().map_err(|e| self.error(e))?;
        let facts = transaction.open_table(FACTS).map_err(|e| self.error(e))?;
        let revision = facts.get(REVISION).map_err(|e| self.error(e))?.map_or(0, |value| value.value());
        let table = transaction.open_table(OBJECTS).map_err(|e| self.error(e))?;
        let mut objects = Vec::new();
        for entry in table.iter().map_err(|e| self.error(e))? {
            let (key, value) = entry.map_err(|e| self.error(e))?;
            objects.push((key.value().to_owned(), value.value().to_vec()));
        }
        Ok(Loaded { objects, revision })
    }

    fn error(&self, error: impl Into<redb::Error>) -> BackendError {
        match error.into() {
            redb::Error::Corrupted(detail) => damaged(&self.path, &detail),
            redb::Error::Io(io) => io_error(&io),
            redb::Error::TableTypeMismatch { .. } | redb::Error::TypeDefinitionChanged { .. } => {
                BackendError::Foreign {
                    path: self.path.display().to_string(),
                    detail: "its tables have other types".into(),
                }
            }
            other => BackendError::Io(other.to_string()),
        }
    }
}

impl Backend for Durable {
    fn load(&mut self) -> Result<Loaded, BackendError> {
        contained(|| self.read_all()).unwrap_or_else(|_| Err(unreadable(&self.path)))
    }

    fn commit(&mut self, records: &[Record], revision: u64) -> Result<(), BackendError> {
        let mut transaction = self.database.begin_write().map_err(|e| self.error(e))?;
        transaction.set_durability(Durability::Immediate).map_err(|e| self.error(e))?;
        {
            let mut objects = transaction.open_table(OBJECTS).map_err(|e| self.error(e))?;
            for record in records {
                match &record.bytes {
                    Some(bytes) => objects.insert(record.key.as_str(), bytes.as_ref()),
                    None => objects.remove(record.key.as_str()),
                }
                .map_err(|e| self.error(e))?;
            }
            let mut facts = transaction.open_table(FACTS).map_err(|e| self.error(e))?;
            facts.insert(REVISION, revision).map_err(|e| self.error(e))?;
        }
        transaction.commit().map_err(|e| self.error(e))
    }
}

/// Makes the file, when it is missing, for its owner only.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    options.mode(0o600);
    options.open(path).map(drop)
}

fn open_error(path: &Path, directory: &Path, error: DatabaseError) -> BackendError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => BackendError::InUse(directory.display().to_string()),
        DatabaseError::UpgradeRequired(version) => BackendError::Foreign {
            path: path.display().to_string(),
            detail: format!("its file format is {version}"),
        },
        DatabaseError::RepairAborted => damaged(path, "its repair was aborted"),
        DatabaseError::Storage(StorageError::Corrupted(detail)) => damaged(path, &detail),
        DatabaseError::Storage(StorageError::Io(io)) if io.kind() == std::io::ErrorKind::InvalidData => {
            BackendError::Foreign { path: path.display().to_string(), detail: "it is not a store".into() }
        }
        DatabaseError::Storage(StorageError::Io(io)) if io.kind() == std::io::ErrorKind::UnexpectedEof => {
            damaged(path, "it ends too early")
        }
        DatabaseError::Storage(StorageError::Io(io)) => io_error(&io),
        other => BackendError::Io(format!("{}: {other}", path.display())),
    }
}

fn unreadable(path: &Path) -> BackendError {
    damaged(path, "its pages cannot be read")
}

fn damaged(path: &Path, detail: &str) -> BackendError {
    BackendError::Damaged { path: path.display().to_string(), detail: detail.to_owned() }
}

fn io_error(io: &std::io::Error) -> BackendError {
    match io.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => BackendError::Full,
        _ => BackendError::Io(io.to_string()),
    }
}
