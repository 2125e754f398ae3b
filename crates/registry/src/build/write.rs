//! Writing of images as OCI layouts. The same files and options give the same bytes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::{Value, json};

use super::error::BuildError;
use super::tree::{Node, Tree};
use crate::digest::{Digest, Hashing};
use crate::document::{Descriptor, Index, Manifest, MediaType};
use crate::image_file::{NAME_ANNOTATION, REF_ANNOTATION};
use crate::name::{ImageName, Reference};
use crate::tar::{self, Header, Kind};

/// An image of one layer.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its name.
    pub name: ImageName,
    /// Its files.
    pub tree: Tree,
    /// What containers of it run, before `cmd`.
    pub entrypoint: Vec<String>,
    /// What containers of it run, unless they say something else.
    pub cmd: Vec<String>,
    /// Variables, as `KEY=VALUE`.
    pub env: Vec<String>,
    /// The user of its processes: a name or number, and a group behind a colon.
    pub user: String,
    /// Where its processes begin.
    pub working_dir: String,
    /// What is said of it.
    pub labels: BTreeMap<String, String>,
    /// The time of all its files, in seconds since 1970.
    pub modified_seconds: u64,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The digest by which the image can be named.
    pub digest: Digest,
    /// How many bytes a runtime gets: manifest, configuration and layer.
    pub bytes: u64,
}

impl Image {
    /// An image without files.
    pub fn new(name: ImageName) -> Image {
        Image {
            name,
            tree: Tree::default(),
            entrypoint: Vec::new(),
            cmd: Vec::new(),
            env: Vec::new(),
            user: String::new(),
            working_dir: String::new(),
            labels: BTreeMap::new(),
            modified_seconds: 0,
        }
    }

    /// Writes it as an archive, which takes the place of a file of the name when it is whole.
    ///
    /// # Errors
    /// Those of reading the files and of writing.
    pub fn write_archive(&self, path: &Path) -> Result<Written, BuildError> {
        let partial = beside(path)?;
        let write = || {
            let file = File::create(&partial).map_err(BuildError::writing(path))?;
            let form = Form::Archive(tar::Writer::new(BufWriter::new(file)));
            self.write(Output { path, form })?.finish(&partial)
        };
        write().inspect_err(|_| {
            // It is of no use; what matters has failed already.
            let _ = fs::remove_file(&partial);
        })
    }

    /// Writes it as a directory, which must not be there yet.
    ///
    /// # Errors
    /// Those of reading the files and of writing.
    pub fn write_directory(&self, path: &Path) -> Result<Written, BuildError> {
        if path.exists() {
            return Err(BuildError::Exists { path: path.to_owned() });
        }
        let partial = beside(path)?;
        let write = || {
            fs::create_dir_all(partial.join("blobs/sha256")).map_err(BuildError::writing(path))?;
            self.write(Output { path, form: Form::Directory(partial.clone()) })?.finish(&partial)
        };
        write().inspect_err(|_| {
            // As above.
            let _ = fs::remove_dir_all(&partial);
        })
    }

    fn write<'a>(&self, mut output: Output<'a>) -> Result<Complete<'a>, BuildError> {
        let (layer, diff) = output.layer(&self.tree, self.modified_seconds)?;
        let config = json!({
            "architecture": self.tree.architecture()?.unwrap_or_else(architecture_here),
            "os": "linux",
            "config": self.config(),
            "rootfs": {"type": "layers", "diff_ids": [diff]},
        });
        let config = output.document(MediaType::Config, &config)?;
        let media_type = MediaType::Manifest.name().to_owned();
        let mut bytes = config.size + layer.size;
        let manifest = Manifest { schema_version: 2, media_type, config, layers: vec![layer] };
        let mut described = output.document(MediaType::Manifest, &manifest)?;
        bytes += described.size;
        let digest = described.digest;
        described.annotations.insert(NAME_ANNOTATION.to_owned(), self.name.to_string());
        if let Reference::Tag(tag) = &self.name.reference {
            described.annotations.insert(REF_ANNOTATION.to_owned(), tag.clone());
        }
        let media_type = Some(MediaType::Index.name().to_owned());
        let index = output.json(&Index { schema_version: 2, media_type, manifests: vec![described] })?;
        output.file("index.json", &index)?;
        output.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(Complete { output, written: Written { digest, bytes } })
    }

    /// What the image says of its containers; what it does not say is left out.
    fn config(&self) -> Value {
        let mut config = json!({
            "User": self.user, "Env": self.env, "Entrypoint": self.entrypoint, "Cmd": self.cmd,
            "WorkingDir": self.working_dir, "Labels": self.labels,
        });
        if let Some(fields) = config.as_object_mut() {
            let is_empty = |value: &Value| {
                value.as_str() == Some("")
                    || value.as_array().is_some_and(Vec::is_empty)
                    || value.as_object().is_some_and(serde_json::Map::is_empty)
            };
            fields.retain(|_, value| !is_empty(value));
        }
        config
    }
}

/// The processor of this machine, as images call it.
fn architecture_here() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A hidden name in the same directory, under which nobody takes a half of an image for a whole.
fn beside(path: &Path) -> Result<PathBuf, BuildError> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| BuildError::Path {
        path: path.to_string_lossy().into_owned(),
        why: "it has no name",
    })?;
    Ok(path.with_file_name(format!(".{name}.{}.partial", std::process::id())))
}

/// Where an image is written to.
struct Output<'a> {
    /// Its name in the end, for messages.
    path: &'a Path,
    form: Form,
}

enum Form {
    Archive(tar::Writer<BufWriter<File>>),
    Directory(PathBuf),
}

/// An image of which all is written.
struct Complete<'a> {
    output: Output<'a>,
    written: Written,
}

impl Complete<'_> {
    /// Gives it its name.
    fn finish(self, partial: &Path) -> Result<Written, BuildError> {
        let finish = |form| {
            if let Form::Archive(archive) = form {
                let file = archive.finish()?;
                file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            }
            fs::rename(partial, self.output.path)
        };
        finish(self.output.form).map_err(BuildError::writing(self.output.path))?;
        Ok(self.written)
    }
}

impl Output<'_> {
    /// Writes the files as a layer. Gives the digest of what it is when unpacked, too.
    fn layer(&mut self, tree: &Tree, modified_seconds: u64) -> Result<(Descriptor, Digest), BuildError> {
        let path = self.path;
        let write = |blob: &mut dyn Write| write_layer(tree, modified_seconds, path, blob);
        let error = BuildError::writing(path);
        let (digest, size, diff) = match &mut self.form {
            Form::Archive(archive) => {
                let start = archive.begin().map_err(&error)?;
                let mut blob = Hashing::new(archive.output());
                let diff = write(&mut blob)?;
                let (digest, size) = (blob.digest(), blob.length());
                archive.complete(start, &header(&blob_path(&digest), size)).map_err(&error)?;
                (digest, size, diff)
            }
            Form::Directory(folder) => {
                let partial = folder.join("blobs/sha256/.partial");
                let file = File::create(&partial).map_err(&error)?;
                let mut blob = Hashing::new(BufWriter::new(file));
                let diff = write(&mut blob)?;
                blob.flush().map_err(&error)?;
                let (digest, size) = (blob.digest(), blob.length());
                fs::rename(&partial, folder.join(blob_path(&digest))).map_err(&error)?;
                (digest, size, diff)
            }
        };
        Ok((Descriptor::new(MediaType::GzipLayer, digest, size), diff))
    }

    fn document(&mut self, kind: MediaType, value: &impl Serialize) -> Result<Descriptor, BuildError> {
        let content = self.json(value)?;
        let described = Descriptor::of(kind, &content);
        self.file(&blob_path(&described.digest), &content)?;
        Ok(described)
    }

    fn json(&self, value: &impl Serialize) -> Result<Vec<u8>, BuildError> {
        serde_json::to_vec(value).map_err(|error| BuildError::writing(self.path)(error.into()))
    }

    fn file(&mut self, name: &str, mut content: &[u8]) -> Result<(), BuildError> {
        let written = match &mut self.form {
            Form::Archive(archive) => archive.entry(&header(name, content.len() as u64), &mut content),
            Form::Directory(folder) => fs::write(folder.join(name), content),
        };
        written.map_err(BuildError::writing(self.path))
    }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn header(path: &str, size: u64) -> Header<'_> {
    Header { path, kind: Kind::File, mode: 0o644, link: "", size, modified_seconds: 0 }
}

/// Writes files as a compressed archive; gives the digest of the archive before it was compressed.
fn write_layer(
    tree: &Tree,
    modified_seconds: u64,
    path: &Path,
    blob: &mut dyn Write,
) -> Result<Digest, BuildError> {
    let error = BuildError::writing(path);
    let compressed = GzEncoder::new(blob, Compression::default());
    let mut archive = tar::Writer::new(Hashing::new(compressed));
    for (place, node) in tree.nodes() {
        let header =
            |kind, mode, link, size| Header { path: place, kind, mode, link, size, modified_seconds };
        let written = match node {
            Node::Directory(mode) => archive.entry(&header(Kind::Directory, *mode, "", 0), &mut io::empty()),
            Node::Symlink(target) => {
                archive.entry(&header(Kind::Symlink, 0o777, target, 0), &mut io::empty())
            }
            Node::File(mode, content) => {
                let (mut content, size) = content.open()?;
                archive.entry(&header(Kind::File, *mode, "", size), &mut content)
            }
        };
        written.map_err(&error)?;
    }
    let hashing = archive.finish().map_err(&error)?;
    let digest = hashing.digest();
    hashing.into_inner().finish().map_err(&error)?;
    Ok(digest)
}
