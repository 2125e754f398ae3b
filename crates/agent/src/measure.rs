//! Asks the meter of a node what is left, where the runtime says that things are.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use everynode_cri::messages::ImageFsInfoRequest;

use crate::context::Context;
use crate::readings::{Places, Readings};

/// How long the runtime may take to say where images are.
const DEADLINE: Duration = Duration::from_secs(10);

/// What is left now.
pub async fn now(context: &Context) -> Readings {
    let places = Places { volumes: context.layout.root().to_owned(), images: image_folder(context).await };
    let meter = context.meter.clone();
    tokio::task::spawn_blocking(move || meter.read(&places)).await.unwrap_or_default()
}

/// Whether images, and what containers write, are on another disk than volumes and logs.
pub async fn has_image_disk(context: &Context) -> bool {
    let device = |path: &Path| std::fs::metadata(path).ok().map(|metadata| metadata.dev());
    let images = image_folder(context).await.and_then(|folder| device(&folder));
    images.is_some_and(|images| device(context.layout.root()) != Some(images))
}

async fn image_folder(context: &Context) -> Option<PathBuf> {
    let told = context.runtime.call(ImageFsInfoRequest {}, DEADLINE).await.ok()?;
    let first = told.image_filesystems.into_iter().next()?;
    first.fs_id.map(|id| id.mountpoint.into())
}
