//! Archives of `docker save`, which have no manifests: these are made when an image is asked for the first time.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::Deserialize;

use crate::archive::{Archive, Blob, GZIP_MAGIC};
use crate::digest::{Digest, Hashing};
use crate::document::{Descriptor, Document, Manifest, MediaType};
use crate::image_file::{FileError, IMAGES_LIMIT};
use crate::name::ImageName;

/// The list of images in the archive.
const LIST: &str = "manifest.json";
/// Layers of one image.
const LAYERS_LIMIT: usize = 1_000;

/// An image of the list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    /// Name of the configuration in the archive.
    config: String,
    repo_tags: Option<Vec<String>>,
    /// Names of the layers in the archive, from the lowest up.
    layers: Vec<String>,
}

/// The images of an archive of `docker save`.
#[derive(Debug)]
pub(crate) struct DockerImages {
    items: Vec<Item>,
    /// Names, and which items they are of.
    names: Vec<(ImageName, usize)>,
    /// What is known of the items.
    described: Mutex<Vec<Option<Arc<Described>>>>,
}

/// An image with its digests.
#[derive(Debug)]
struct Described {
    manifest: Document,
    config: (Digest, Bytes),
    /// Sizes of the layers, and their names in the archive.
    layers: HashMap<Digest, (u64, String)>,
}

impl DockerImages {
    /// Reads the list of images.
    pub(crate) fn read(list: &[u8]) -> Result<DockerImages, FileError> {
        let items: Vec<Item> =
            serde_json::from_slice(list).map_err(|error| FileError::document(LIST, error))?;
        let mut names = Vec::new();
        for (number, item) in items.iter().enumerate() {
            for tag in item.repo_tags.iter().flatten() {
                names.push((tag.parse().map_err(|error| FileError::document(LIST, error))?, number));
            }
        }
        let largest = items.iter().map(|item| item.layers.len()).max().unwrap_or(0);
        if names.is_empty() {
            return Err(FileError::document(
                LIST,
                "no image in it has a name; save images by name, not by id",
            ));
        }
        if names.len().max(items.len()) > IMAGES_LIMIT || largest > LAYERS_LIMIT {
            return Err(FileError::document(LIST, "it has more than 1000 images or layers"));
        }
        let described = Mutex::new(items.iter().map(|_| None).collect());
        Ok(DockerImages { items, names, described })
    }

    /// The names of the images.
    pub(crate) fn names(&self) -> impl Iterator<Item = &ImageName> {
        self.names.iter().map(|(name, _)| name)
    }

    /// The manifest of an image; `None` when there is none of this name.
    pub(crate) fn manifest(
        &self,
        archive: &Archive,
        name: &ImageName,
    ) -> Result<Option<Document>, FileError> {
        let Some((_, number)) = self.names.iter().find(|(one, _)| one == name) else { return Ok(None) };
        self.describe(archive, *number).map(|image| Some(image.manifest.clone()))
    }

    /// A content of the images that are described.
    pub(crate) fn blob(&self, archive: &Archive, digest: &Digest) -> Result<Option<Blob>, FileError> {
        let described = self.described.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for image in described.into_iter().flatten() {
            let documents =
                [(image.manifest.digest, &image.manifest.content), (image.config.0, &image.config.1)];
            if let Some((_, content)) = documents.into_iter().find(|(one, _)| one == digest) {
                return Ok(Some(Blob::in_memory(*digest, content.clone())));
            }
            if let Some((_, name)) = image.layers.get(digest) {
                let (content, size) = layer(archive, name)?;
                return Ok(Some(Blob::new(*digest, size, archive.path().to_owned(), content)));
            }
        }
        Ok(None)
    }

    /// Describes all images.
    pub(crate) fn describe_all(&self, archive: &Archive) -> Result<(), FileError> {
        (0..self.items.len()).try_for_each(|number| self.describe(archive, number).map(drop))
    }

    /// Works the digests of an image out, once. Whoever asks meanwhile waits.
    fn describe(&self, archive: &Archive, number: usize) -> Result<Arc<Described>, FileError> {
        let mut described = self.described.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &described[number] {
            return Ok(known.clone());
        }
        let new = Arc::new(describe(archive, &self.items[number])?);
        described[number] = Some(new.clone());
        Ok(new)
    }
}

fn layer(archive: &Archive, name: &str) -> Result<(Box<dyn Read + Send>, u64), FileError> {
    let found = archive.content(name)?;
    found.ok_or_else(|| FileError::document(LIST, format!("{name} is not in the archive")))
}

fn describe(archive: &Archive, item: &Item) -> Result<Described, FileError> {
    let config = archive.document(&item.config)?;
    let config = config.ok_or_else(|| FileError::document(LIST, format!("{} is not there", item.config)))?;
    let mut layers = HashMap::new();
    let mut descriptors = Vec::new();
    for name in &item.layers {
        let (content, size) = layer(archive, name)?;
        let (digest, media_type) = look_through(content, size)?;
        descriptors.push(Descriptor::new(media_type, digest, size));
        layers.insert(digest, (size, name.clone()));
    }
    let config_descriptor = Descriptor::of(MediaType::Config, &config);
    let manifest = Manifest {
        schema_version: 2,
        media_type: MediaType::Manifest.name().to_owned(),
        config: config_descriptor.clone(),
        layers: descriptors,
    };
    let manifest = serde_json::to_vec(&manifest).map_err(|error| FileError::document(LIST, error))?;
    let manifest =
        Document::read(manifest.into()).ok_or_else(|| FileError::document(LIST, "it describes no image"))?;
    Ok(Described { manifest, config: (config_descriptor.digest, config), layers })
}

/// Reads a layer for its digest, and for what it is.
fn look_through(content: Box<dyn Read + Send>, size: u64) -> io::Result<(Digest, MediaType)> {
    let mut content = Hashing::new(content);
    let mut magic = Vec::new();
    content.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut magic)?;
    io::copy(&mut content, &mut io::sink())?;
    if content.length() < size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let media_type = if magic == GZIP_MAGIC { MediaType::GzipLayer } else { MediaType::Layer };
    Ok((content.digest(), media_type))
}
