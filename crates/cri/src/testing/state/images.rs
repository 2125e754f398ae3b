//! Images: what can be pulled has been offered, and takes no room.

use tonic::Status;

use super::State;
use crate::messages::*;

impl State {
    /// The id of an image that is here, by a name or the id itself.
    pub(super) fn image_id(&self, name: &str) -> Option<String> {
        self.images.get(name).or_else(|| self.images.values().find(|id| *id == name)).cloned()
    }

    fn image(&self, id: &str) -> Image {
        let names = self.images.iter().filter(|(_, other)| *other == id).map(|(name, _)| name.clone());
        let (repo_digests, repo_tags) = names.partition(|name| name.contains('@'));
        Image { id: id.to_owned(), repo_tags, repo_digests, ..Default::default() }
    }

    fn images_by(&self, spec: Option<ImageSpec>) -> Vec<Image> {
        let ids: std::collections::BTreeSet<String> = match spec.map(|spec| spec.image) {
            Some(name) if !name.is_empty() => self.image_id(&name).into_iter().collect(),
            _ => self.images.values().cloned().collect(),
        };
        ids.iter().map(|id| self.image(id)).collect()
    }

    pub(in crate::testing) fn list_images(
        &mut self,
        request: ListImagesRequest,
    ) -> Result<ListImagesResponse, Status> {
        Ok(ListImagesResponse { images: self.images_by(request.filter.unwrap_or_default().image) })
    }

    pub(in crate::testing) fn image_status(
        &mut self,
        request: ImageStatusRequest,
    ) -> Result<ImageStatusResponse, Status> {
        let id = self.image_id(&request.image.unwrap_or_default().image);
        Ok(ImageStatusResponse { image: id.map(|id| self.image(&id)), ..Default::default() })
    }

    pub(in crate::testing) fn pull_image(
        &mut self,
        request: PullImageRequest,
    ) -> Result<PullImageResponse, Status> {
        let name = request.image.unwrap_or_default().image;
        if !self.registry.contains(&name) {
            return Err(Status::not_found(format!("no registry has {name:?}")));
        }
        let id = match self.image_id(&name) {
            Some(id) => id,
            None => format!("sha256:{}", self.new_id()),
        };
        self.images.insert(name, id.clone());
        Ok(PullImageResponse { image_ref: id })
    }

    pub(in crate::testing) fn remove_image(
        &mut self,
        request: RemoveImageRequest,
    ) -> Result<RemoveImageResponse, Status> {
        if let Some(id) = self.image_id(&request.image.unwrap_or_default().image) {
            self.images.retain(|_, other| *other != id);
        }
        Ok(RemoveImageResponse {})
    }

    pub(in crate::testing) fn image_fs_info(
        &mut self,
        _: ImageFsInfoRequest,
    ) -> Result<ImageFsInfoResponse, Status> {
        let usage = FilesystemUsage {
            timestamp: self.now_nanoseconds(),
            fs_id: Some(FilesystemIdentifier { mountpoint: "/".to_owned() }),
            used_bytes: Some(UInt64Value { value: 0 }),
            inodes_used: Some(UInt64Value { value: 0 }),
        };
        Ok(ImageFsInfoResponse { image_filesystems: vec![usage], container_filesystems: Vec::new() })
    }
}
