//! A directory of archives with images.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::archive::{Blob, read_document};
use crate::digest::Digest;
use crate::document::Document;
use crate::image_file::{FileError, ImageFile};
use crate::name::{ImageName, Reference};
use crate::pause::Pause;

/// Files of the directory that are looked at.
const FILES_LIMIT: usize = 1_000;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be read.
    #[error("cannot read the images of {}: {source}", dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No archive has the image.
    #[error("image {name} is in none of the archives of {}: put an OCI layout or what `docker save` writes there, or make one with `everynode image`", dir.display())]
    NoImage {
        /// The image that was asked for.
        name: ImageName,
        /// The directory.
        dir: PathBuf,
    },
    /// No archive has the content.
    #[error("{digest} is in none of the archives of {}", dir.display())]
    NoBlob {
        /// The content that was asked for.
        digest: Digest,
        /// The directory.
        dir: PathBuf,
    },
    /// An archive that has it is damaged.
    #[error("{}: {source}", file.display())]
    File {
        /// The archive.
        file: PathBuf,
        /// What is wrong with it.
        source: FileError,
    },
}

/// The images of a directory, and the image of sandboxes: any name that ends in `/pause`, unless an archive has it.
///
/// Archives are read where they are, when something of them is asked for. Files that come, go or change are seen at
/// the next question. Of several archives that have a name, the first by file name is taken. Files whose names begin
/// with a dot are left alone.
///
/// All functions read files, and block meanwhile.
#[derive(Debug)]
pub struct ImageStore {
    dir: PathBuf,
    pause: Pause,
    files: Mutex<BTreeMap<OsString, Known>>,
}

/// A file of the directory, as it was when it was looked at.
#[derive(Debug)]
struct Known {
    stamp: Stamp,
    /// Its images, if it has any.
    images: Option<Arc<ImageFile>>,
}

/// What changes with the contents of a file.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
}

impl ImageStore {
    /// Opens a directory. Files in it that have no images are named in the log.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn open(dir: impl Into<PathBuf>) -> Result<ImageStore, StoreError> {
        let store = ImageStore { dir: dir.into(), pause: Pause::new(), files: Mutex::default() };
        store.files()?;
        Ok(store)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The names of all images in the directory, in order.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn names(&self) -> Result<Vec<ImageName>, StoreError> {
        let files = self.files()?;
        let mut names: Vec<ImageName> = files.iter().flat_map(|file| file.names()).cloned().collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// What describes an image: a manifest, or an index of manifests for several platforms.
    ///
    /// # Errors
    /// It is not there, or damaged.
    pub fn manifest(&self, name: &ImageName) -> Result<Document, StoreError> {
        if let Reference::Digest(digest) = &name.reference {
            return self.manifest_by_digest(name, digest);
        }
        for file in self.files()? {
            if let Some(document) = file.manifest(name).map_err(|error| damaged(&file, error))? {
                return Ok(document);
            }
        }
        match name.base() {
            "pause" => Ok(self.pause.index.clone()),
            _ => Err(StoreError::NoImage { name: name.clone(), dir: self.dir.clone() }),
        }
    }

    fn manifest_by_digest(&self, name: &ImageName, digest: &Digest) -> Result<Document, StoreError> {
        let missing = || StoreError::NoImage { name: name.clone(), dir: self.dir.clone() };
        let mut blob = match self.blob(digest) {
            Err(StoreError::NoBlob { .. }) => return Err(missing()),
            blob => blob?,
        };
        let (size, file) = (blob.size(), blob.file().to_owned());
        let content = read_document(&mut blob, size)
            .map_err(|error| StoreError::File { file, source: error.into() })?;
        Document::read(content).ok_or_else(missing)
    }

    /// A content.
    ///
    /// # Errors
    /// It is not there. That it is damaged is known when it has been read: see [`Blob`].
    pub fn blob(&self, digest: &Digest) -> Result<Blob, StoreError> {
        if let Some(content) = self.pause.blob(digest) {
            return Ok(Blob::in_memory(*digest, content.clone()));
        }
        let files = self.files()?;
        let find = || {
            let found = files
                .iter()
                .find_map(|file| file.blob(digest).map_err(|error| damaged(file, error)).transpose());
            found.transpose()
        };
        if let Some(blob) = find()? {
            return Ok(blob);
        }
        // What was known of an archive may have gone with the process that had asked for it.
        for file in &files {
            file.describe_all().map_err(|error| damaged(file, error))?;
        }
        find()?.ok_or_else(|| StoreError::NoBlob { digest: *digest, dir: self.dir.clone() })
    }

    /// The files with images, by name, as they are now.
    fn files(&self) -> Result<Vec<Arc<ImageFile>>, StoreError> {
        let error = |source| StoreError::Directory { dir: self.dir.clone(), source };
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(&self.dir).map_err(error)? {
            let entry = entry.map_err(error)?;
            let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if let Some(stamp) = Some(entry.path()).filter(|_| !is_hidden).and_then(|path| Stamp::of(&path)) {
                found.insert(entry.file_name(), stamp);
            }
            if found.len() > FILES_LIMIT {
                let words = format!("it has more than {FILES_LIMIT} files");
                return Err(error(io::Error::new(io::ErrorKind::InvalidData, words)));
            }
        }
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.retain(|name, known| found.get(name) == Some(&known.stamp));
        for (name, stamp) in found {
            let path = self.dir.join(&name);
            files.entry(name).or_insert_with(|| Known { stamp, images: look_into(&path) });
        }
        Ok(files.values().filter_map(|known| known.images.clone()).collect())
    }
}

impl Stamp {
    /// Of a layout in a directory it is its index that changes. `None` for what is neither file nor directory.
    fn of(path: &Path) -> Option<Stamp> {
        let stamp = |found: Metadata| Stamp { modified: found.modified().ok(), bytes: found.len() };
        let found = fs::metadata(path).ok()?;
        if found.is_dir() {
            return Some(fs::metadata(path.join("index.json")).map_or_else(|_| stamp(found), stamp));
        }
        found.is_file().then(|| stamp(found))
    }
}

/// The images of a file; says once what is wrong with it.
fn look_into(path: &Path) -> Option<Arc<ImageFile>> {
    match ImageFile::open(path) {
        Ok(images) => Some(Arc::new(images)),
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "no images are taken from this file");
            None
        }
    }
}

fn damaged(file: &ImageFile, source: FileError) -> StoreError {
    StoreError::File { file: file.path().to_owned(), source }
}
