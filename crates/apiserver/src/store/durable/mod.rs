//! The durable backend: one redb file in the data directory.
//!
//! A file is served only when every page and every record in it is what was written; nothing is written to it
//! before that is known. Commits are in two phases: otherwise, after a crash, damage to the last commit could not
//! be told from a commit that was cut off, and would be rolled back in silence.

mod disk;
mod record;
mod salvage;

use std::fmt;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    StorageError, TableDefinition, TableError, WriteTransaction,
};

use self::disk::Disk;
pub use self::salvage::LeftOut;
use super::backend::{Backend, BackendError, Loaded, Record};
use crate::panics::contained;

const OBJECTS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("objects");
const FACTS: TableDefinition<'static, &str, u64> = TableDefinition::new("facts");
const FORMAT: &str = "format";
const REVISION: &str = "revision";
/// All bits of the revision turned over, by which damage to it shows.
const REVISION_COMPLEMENT: &str = "revision-complement";

/// The layout of the tables; raised when an older program could not read them.
const FORMAT_VERSION: u64 = 2;
/// The layout before it: objects without checksums. It is read, and becomes the present one at the first commit.
const FORMER_FORMAT_VERSION: u64 = 1;

/// Pages that redb keeps in memory; all objects are in memory anyway.
const CACHE_BYTES: usize = 16 << 20;

/// What to do about a file in which objects are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDamage {
    /// Serve nothing of it.
    Refuse,
    /// Put what can be read into a new file, and keep the damaged one beside it.
    LeaveOut,
}

/// Objects in a file with checksums, atomic commits and a lock.
pub struct Durable {
    /// Closed when dropped; a damaged file may panic then too.
    database: Option<Database>,
    /// Lets writes through to the file from now on.
    release: Box<dyn Fn() -> std::io::Result<()> + Send>,
    path: PathBuf,
    /// The format of the file, which is the former one until the first commit.
    format: u64,
    loaded: Loaded,
    left_out: Option<LeftOut>,
}

impl fmt::Debug for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Durable").field("path", &self.path).finish_non_exhaustive()
    }
}

/// How far the pages of a file are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pages {
    /// All of them are compared with their checksums.
    Checked,
    /// They are followed as they are.
    Trusted,
}

/// What a file holds.
#[derive(Debug)]
struct Contents {
    format: u64,
    revision: u64,
    objects: Vec<(String, Vec<u8>)>,
    /// Objects that are not what was written, as people name them.
    damaged: Vec<String>,
}

impl Durable {
    /// Opens or creates `store.redb` in a directory that exists. Nothing is written to a file that was there
    /// before the first commit.
    ///
    /// # Errors
    /// The file is in use, damaged, of another program, or the disk refused. It is as it was then.
    pub fn open(directory: &Path, on_damage: OnDamage) -> Result<Durable, BackendError> {
        let path = directory.join("store.redb");
        // The secrets are made after the store, so beside an empty one they say that it held something.
        let empty = std::fs::metadata(&path).is_ok_and(|found| found.len() == 0);
        if empty && directory.join("pki.json").exists() {
            return Err(damaged(&path, "it is empty"));
        }
        make_private(&path).map_err(|error| io_error(&error))?;
        let refused = match Durable::open_on(path.clone(), file_of(&path)?) {
            Err(error @ (BackendError::Damaged { .. } | BackendError::DamagedObjects { .. })) => error,
            other => return other,
        };
        // Of the former format nothing is known object by object.
        let Ok(rest) = salvage::Rest::read(&path) else { return Err(refused) };
        match on_damage {
            OnDamage::Refuse => Err(rest.describe()),
            OnDamage::LeaveOut => {
                let left_out = rest.move_to_new_file()?;
                let mut durable = Durable::open_on(path.clone(), file_of(&path)?)?;
                durable.left_out = Some(left_out);
                Ok(durable)
            }
        }
    }

    /// Opens or creates a store on a disk.
    pub(super) fn open_on(path: PathBuf, below: impl redb::StorageBackend) -> Result<Durable, BackendError> {
        let disk = Disk::new(below);
        let database = open_database(&path, disk.clone(), Pages::Checked)?;
        let contents = read(&database, &path);
        let release = Box::new(move || disk.release());
        let mut durable = Durable {
            database: Some(database),
            release,
            path,
            format: FORMAT_VERSION,
            loaded: Loaded::default(),
            left_out: None,
        };
        match contents? {
            // There is nothing to lose yet, and an empty file must not be found after the secrets were made.
            None => durable.commit(&[], 0)?,
            Some(contents) if contents.damaged.is_empty() => {
                durable.format = contents.format;
                durable.loaded.objects = contents.objects;
                durable.loaded.revision = contents.revision;
            }
            Some(contents) => return Err(damaged_objects(&durable.path, contents.damaged)),
        }
        Ok(durable)
    }

    /// What was left out of a damaged file when this one was made.
    pub fn left_out(&self) -> Option<&LeftOut> {
        self.left_out.as_ref()
    }

    fn write(&self, records: &[Record], revision: u64) -> Result<(), BackendError> {
        let Some(database) = &self.database else { return Err(BackendError::Io("it is closed".into())) };
        (self.release)().map_err(|e| io_error(&e))?;
        let mut transaction = database.begin_write().map_err(|e| self.error(e))?;
        transaction.set_durability(Durability::Immediate).map_err(|e| self.error(e))?;
        // In two phases, and with what a start after a crash needs, so that it can also skip what is damaged.
        transaction.set_quick_repair(true);
        if self.format == FORMER_FORMAT_VERSION {
            self.seal_all(&transaction)?;
        }
        {
            let mut objects = transaction.open_table(OBJECTS).map_err(|e| self.error(e))?;
            for Record { key, bytes } in records {
                match bytes {
                    Some(bytes) => objects.insert(key.as_str(), record::seal(key, bytes).as_slice()),
                    None => objects.remove(key.as_str()),
                }
                .map_err(|e| self.error(e))?;
            }
            let mut facts = transaction.open_table(FACTS).map_err(|e| self.error(e))?;
            let now = [(FORMAT, FORMAT_VERSION), (REVISION, revision), (REVISION_COMPLEMENT, !revision)];
            for (fact, value) in now {
                facts.insert(fact, value).map_err(|e| self.error(e))?;
            }
        }
        transaction.commit().map_err(|e| self.error(e))
    }

    /// Gives the objects of the former format their checksums.
    fn seal_all(&self, transaction: &WriteTransaction) -> Result<(), BackendError> {
        let mut objects = transaction.open_table(OBJECTS).map_err(|e| self.error(e))?;
        let mut sealed = Vec::new();
        for entry in objects.iter().map_err(|e| self.error(e))? {
            let (key, object) = entry.map_err(|e| self.error(e))?;
            sealed.push((key.value().to_owned(), record::seal(key.value(), object.value())));
        }
        for (key, record) in &sealed {
            objects.insert(key.as_str(), record.as_slice()).map_err(|e| self.error(e))?;
        }
        Ok(())
    }

    fn error(&self, error: impl Into<redb::Error>) -> BackendError {
        redb_error(&self.path, error)
    }
}

impl Backend for Durable {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn load(&mut self) -> Result<Loaded, BackendError> {
        Ok(std::mem::take(&mut self.loaded))
    }

    fn commit(&mut self, records: &[Record], revision: u64) -> Result<(), BackendError> {
        contained(|| self.write(records, revision)).unwrap_or_else(|_| Err(unreadable(&self.path)))?;
        self.format = FORMAT_VERSION;
        Ok(())
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        close(self.database.take());
    }
}

/// Closes a database, which reads pages that may be damaged, and must not panic.
fn close(database: Option<Database>) {
    if contained(|| drop(database)).is_err() {
        tracing::warn!("the store was not closed cleanly; what was acknowledged is in it");
    }
}

fn file_of(path: &Path) -> Result<redb::backends::FileBackend, BackendError> {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).map_err(|e| io_error(&e))?;
    redb::backends::FileBackend::new(file).map_err(|error| open_error(path, error))
}

/// A damaged file can make the reader fail in ways that are not errors; none may end the process.
fn open_database(
    path: &Path,
    disk: impl redb::StorageBackend,
    pages: Pages,
) -> Result<Database, BackendError> {
    let mut builder = redb::Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(pages == Pages::Checked);
    match contained(|| builder.create_with_backend(disk)) {
        Ok(opened) => opened.map_err(|error| open_error(path, error)),
        Err(_) => Err(unreadable(path)),
    }
}

/// Everything in a file; none when nothing was ever committed to it.
fn read(database: &Database, path: &Path) -> Result<Option<Contents>, BackendError> {
    contained(|| read_all(database, path)).unwrap_or_else(|_| Err(unreadable(path)))
}

fn read_all(database: &Database, path: &Path) -> Result<Option<Contents>, BackendError> {
    let failed = |error: redb::Error| redb_error(path, error);
    let transaction = database.begin_read().map_err(|e| failed(e.into()))?;
    let facts = match transaction.open_table(FACTS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        other => other.map_err(|e| failed(e.into()))?,
    };
    let fact = |name| Ok(facts.get(name).map_err(|e| failed(e.into()))?.map_or(0, |value| value.value()));
    let (format, revision) = (fact(FORMAT)?, fact(REVISION)?);
    match format {
        FORMAT_VERSION if fact(REVISION_COMPLEMENT)? != !revision => {
            return Err(damaged(path, "its revision cannot be read"));
        }
        FORMAT_VERSION | FORMER_FORMAT_VERSION => {}
        other => {
            return Err(foreign(path, &format!("its format is {other}, and {FORMAT_VERSION} is known here")));
        }
    }
    let table = transaction.open_table(OBJECTS).map_err(|e| failed(e.into()))?;
    let mut contents = Contents { format, revision, objects: Vec::new(), damaged: Vec::new() };
    let mut last = String::new();
    for entry in table.iter().map_err(|e| failed(e.into()))? {
        let (key, record) = entry.map_err(|e| failed(e.into()))?;
        let (key, record) = (key.value(), record.value());
        if key <= last.as_str() {
            return Err(damaged(path, "its objects are out of order"));
        }
        last = key.to_owned();
        let object = if format == FORMAT_VERSION { record::open(key, record) } else { Some(record) };
        match object {
            Some(object) => contents.objects.push((last.clone(), object.to_vec())),
            None => contents.damaged.push(record::spoken(key)),
        }
    }
    let found = (contents.objects.len() + contents.damaged.len()) as u64;
    if table.len().map_err(|e| failed(e.into()))? != found {
        return Err(damaged(path, "some of its objects cannot be found"));
    }
    Ok(Some(contents))
}

/// Makes the file, when it is missing, for its owner only.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    options.mode(0o600);
    options.open(path).map(drop)
}

fn open_error(path: &Path, error: DatabaseError) -> BackendError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => {
            BackendError::InUse(path.parent().unwrap_or(path).display().to_string())
        }
        DatabaseError::UpgradeRequired(version) => foreign(path, &format!("its file format is {version}")),
        DatabaseError::RepairAborted => damaged(path, "its repair was aborted"),
        DatabaseError::Storage(StorageError::Corrupted(detail)) => damaged(path, &detail),
        DatabaseError::Storage(StorageError::Io(io)) if io.kind() == std::io::ErrorKind::InvalidData => {
            foreign(path, "it is not a store")
        }
        DatabaseError::Storage(StorageError::Io(io)) if io.kind() == std::io::ErrorKind::UnexpectedEof => {
            damaged(path, "it ends too early")
        }
        DatabaseError::Storage(StorageError::Io(io)) => io_error(&io),
        other => BackendError::Io(format!("{}: {other}", path.display())),
    }
}

fn redb_error(path: &Path, error: impl Into<redb::Error>) -> BackendError {
    match error.into() {
        redb::Error::Corrupted(detail) => damaged(path, &detail),
        redb::Error::Io(io) => io_error(&io),
        redb::Error::TableTypeMismatch { .. } | redb::Error::TypeDefinitionChanged { .. } => {
            foreign(path, "its tables have other types")
        }
        other => BackendError::Io(other.to_string()),
    }
}

fn unreadable(path: &Path) -> BackendError {
    damaged(path, "its pages cannot be read")
}

fn damaged(path: &Path, detail: &str) -> BackendError {
    BackendError::Damaged { path: path.display().to_string(), detail: detail.to_owned() }
}

fn damaged_objects(path: &Path, objects: Vec<String>) -> BackendError {
    BackendError::DamagedObjects { path: path.display().to_string(), objects }
}

fn foreign(path: &Path, detail: &str) -> BackendError {
    BackendError::Foreign { path: path.display().to_string(), detail: detail.to_owned() }
}

fn io_error(io: &std::io::Error) -> BackendError {
    match io.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => BackendError::Full,
        _ => BackendError::Io(io.to_string()),
    }
}
