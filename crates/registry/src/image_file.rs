//! A file or directory with images: a layout of the Open Container Initiative, or what `docker save` has written.

use std::io;
use std::path::Path;

use crate::archive::{Archive, Blob, read_document};
use crate::digest::Digest;
use crate::docker::DockerImages;
use crate::document::{Descriptor, Document, Index};
use crate::name::ImageName;
use crate::tar::TarError;

/// Images of one file.
pub(crate) const IMAGES_LIMIT: usize = 1_000;

/// The whole name of an image, as containerd and Docker write it into a layout.
pub(crate) const NAME_ANNOTATION: &str = "io.containerd.image.name";
/// A tag or a whole name: the specification leaves that open.
pub(crate) const REF_ANNOTATION: &str = "org.opencontainers.image.ref.name";

/// Why a file has no images for us.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is something else.
    #[error("it is neither an OCI layout nor an archive of `docker save`")]
    NoImages,
    /// It cannot be read as an archive.
    #[error(transparent)]
    Archive(#[from] TarError),
    /// It cannot be read, or is damaged.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A document in it does not say what it should.
    #[error("{name} in it makes no sense: {why}")]
    Document {
        /// Its name, or its digest.
        name: String,
        /// What is wrong.
        why: String,
    },
}

impl FileError {
    pub(crate) fn document(name: impl ToString, why: impl ToString) -> FileError {
        FileError::Document { name: name.to_string(), why: why.to_string() }
    }
}

/// A file or directory with images.
#[derive(Debug)]
pub(crate) struct ImageFile {
    archive: Archive,
    images: Images,
}

#[derive(Debug)]
enum Images {
    Layout(Vec<(ImageName, Descriptor)>),
    Docker(DockerImages),
}

impl ImageFile {
    /// Looks at what there is. Contents are not read.
    pub(crate) fn open(path: &Path) -> Result<ImageFile, FileError> {
        let archive = Archive::open(path)?;
        let is_layout = archive.content("oci-layout")?.is_some();
        if let Some(index) = archive.document("index.json")?.filter(|_| is_layout) {
            let index =
                serde_json::from_slice(&index).map_err(|error| FileError::document("index.json", error))?;
            return Ok(ImageFile { archive, images: Images::Layout(named(index)?) });
        }
        let list = if archive.is_file() { archive.document("manifest.json")? } else { None };
        let list = list.ok_or(FileError::NoImages)?;
        let images = Images::Docker(DockerImages::read(&list)?);
        Ok(ImageFile { archive, images })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.archive.path()
    }

    /// The names of its images.
    pub(crate) fn names(&self) -> Vec<&ImageName> {
        match &self.images {
            Images::Layout(images) => images.iter().map(|(name, _)| name).collect(),
            Images::Docker(images) => images.names().collect(),
        }
    }

    /// The document of an image; `None` when there is none of this name.
    pub(crate) fn manifest(&self, name: &ImageName) -> Result<Option<Document>, FileError> {
        let images = match &self.images {
            Images::Docker(images) => return images.manifest(&self.archive, name),
            Images::Layout(images) => images,
        };
        let Some((_, described)) = images.iter().find(|(one, _)| one == name) else { return Ok(None) };
        let missing = || FileError::document("index.json", format!("{} is not there", described.digest));
        let mut blob = self.blob(&described.digest)?.ok_or_else(missing)?;
        let size = blob.size();
        let content = read_document(&mut blob, size)?;
        let document = Document::read(content);
        document.ok_or_else(|| FileError::document(described.digest, "it describes no image")).map(Some)
    }

    /// A content; `None` when there is none of this digest. Of an archive of `docker save` only images are known that
    /// somebody has asked for: see [`ImageFile::describe_all`].
    pub(crate) fn blob(&self, digest: &Digest) -> Result<Option<Blob>, FileError> {
        let name = match &self.images {
            Images::Docker(images) => return images.blob(&self.archive, digest),
            Images::Layout(_) => format!("blobs/sha256/{}", digest.hex()),
        };
        let found = self.archive.content(&name)?;
        Ok(found.map(|(content, size)| Blob::new(*digest, size, self.path().to_owned(), content)))
    }

    /// Works out the digests of all its images where they are not known: all of it is read for that.
    pub(crate) fn describe_all(&self) -> Result<(), FileError> {
        match &self.images {
            Images::Docker(images) => images.describe_all(&self.archive),
            Images::Layout(_) => Ok(()),
        }
    }
}

/// The images of a layout that have a name.
fn named(index: Index) -> Result<Vec<(ImageName, Descriptor)>, FileError> {
    if index.manifests.len() > IMAGES_LIMIT {
        return Err(FileError::document("index.json", format!("it has more than {IMAGES_LIMIT} images")));
    }
    let mut images = Vec::new();
    for described in index.manifests {
        let whole = described.annotations.get(NAME_ANNOTATION);
        let other = described.annotations.get(REF_ANNOTATION).filter(|name| name.contains(['/', ':']));
        let Some(name) = whole.or(other) else { continue };
        let name = name.parse().map_err(|error| FileError::document("index.json", error))?;
        images.push((name, described));
    }
    match images.is_empty() {
        true => Err(FileError::document(
            "index.json",
            format!(
                "no image in it has a whole name in the annotation {NAME_ANNOTATION} or {REF_ANNOTATION}"
            ),
        )),
        false => Ok(images),
    }
}
