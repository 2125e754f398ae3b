//! Takes images away that nobody uses, before they fill the disk: by the kubelet's rules and limits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use everynode_cri::CriError;
use everynode_cri::messages::{
    Image, ImageSpec, ListContainersRequest, ListImagesRequest, RemoveImageRequest,
};
use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::measure;
use crate::readings::Signal;

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// How long the runtime may take to say what it has, or to remove one image.
const DEADLINE: Duration = Duration::from_secs(120);

/// When images are taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageGc {
    /// From so many percent of their file system in use; 100: never.
    pub high_percent: u8,
    /// Until so many are.
    pub low_percent: u8,
    /// Not before they have been there for so long.
    pub least_age: Duration,
}

impl Default for ImageGc {
    /// As the kubelet does.
    fn default() -> ImageGc {
        ImageGc { high_percent: 85, low_percent: 80, least_age: Duration::from_secs(2 * 60) }
    }
}

impl ImageGc {
    /// Where others see to the disk.
    pub const NEVER: ImageGc = ImageGc { high_percent: 100, low_percent: 100, least_age: Duration::ZERO };
}

/// What is remembered of the images of a node: since when they are there, and when they were last used.
#[derive(Debug, Default)]
struct Memory(HashMap<String, Seen>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    used_millis: Option<u64>,
    first_millis: u64,
}

impl Memory {
    /// Takes what is there now, and what of it is in use.
    fn observe(&mut self, images: &[Image], used: &HashSet<String>, now_millis: u64) {
        let there: HashSet<&str> = images.iter().map(|image| &*image.id).collect();
        self.0.retain(|id, _| there.contains(&**id));
        for image in images {
            let new = Seen { used_millis: None, first_millis: now_millis };
            let seen = self.0.entry(image.id.clone()).or_insert(new);
            if is_used(image, used) {
                seen.used_millis = Some(now_millis);
            }
        }
    }

    /// The images that nobody uses and that are old enough, the one that was used longest ago first.
    fn unused<'a>(
        &self,
        images: &'a [Image],
        used: &HashSet<String>,
        least_age: Duration,
        now_millis: u64,
    ) -> Vec<&'a Image> {
        let least_millis = u64::try_from(least_age.as_millis()).unwrap_or(u64::MAX);
        let seen = |image: &Image| self.0.get(&image.id).copied();
        let is_old = |seen: Option<Seen>| {
            seen.is_some_and(|one| now_millis - one.first_millis.min(now_millis) >= least_millis)
        };
        let unused = images.iter().filter(|image| !image.pinned && !is_used(image, used));
        let mut unused: Vec<&Image> = unused.filter(|image| is_old(seen(image))).collect();
        unused.sort_by_key(|image| seen(image));
        unused
    }
}

/// Somebody names the image by its id or by one of its names.
fn is_used(image: &Image, used: &HashSet<String>) -> bool {
    used.contains(&image.id)
        || image.repo_tags.iter().chain(&image.repo_digests).any(|name| used.contains(name))
}

/// Takes images away that nobody uses.
#[derive(Debug)]
pub struct ImageKeeper {
    rules: ImageGc,
    memory: Mutex<Memory>,
}

impl ImageKeeper {
    /// By these rules.
    pub fn new(rules: ImageGc) -> ImageKeeper {
        ImageKeeper { rules, memory: Mutex::default() }
    }

    /// Removes images that nobody uses until so many bytes are free, or none is left. Returns how many bytes that was.
    ///
    /// # Errors
    /// When the runtime does not say what it has.
    pub async fn free(&self, context: &Context, wanted_bytes: u64) -> Result<u64, CriError> {
        let mut memory = self.memory.lock().await;
        let (images, used) = look(context).await?;
        let now_millis = context.now().millis;
        memory.observe(&images, &used, now_millis);
        let mut freed_bytes: u64 = 0;
        for image in memory.unused(&images, &used, self.rules.least_age, now_millis) {
            if freed_bytes >= wanted_bytes {
                break;
            }
            let spec = ImageSpec { image: image.id.clone(), ..ImageSpec::default() };
            match context.runtime.call(RemoveImageRequest { image: Some(spec) }, DEADLINE).await {
                Ok(_) => {
                    tracing::info!(image = %image.id, names = ?image.repo_tags, bytes = image.size, "an image that nobody uses is removed");
                    freed_bytes = freed_bytes.saturating_add(image.size);
                }
                Err(error) => tracing::warn!(%error, image = %image.id, "an image was not removed"),
            }
        }
        Ok(freed_bytes)
    }

    /// Removes images where their file system is too full, and takes in which are used.
    async fn look(&self, context: &Context) -> Result<(), CriError> {
        let readings = measure::now(context).await;
        let room = readings.get(&Signal::ImageFsAvailable).filter(|room| {
            self.rules.high_percent < 100 && room.used_percent() >= u64::from(self.rules.high_percent)
        });
        let wanted_bytes = room.map_or(0, |room| {
            let kept = room.capacity / 100 * u64::from(100 - self.rules.low_percent.min(100));
            kept.saturating_sub(room.available)
        });
        let freed_bytes = self.free(context, wanted_bytes).await?;
        if freed_bytes < wanted_bytes {
            tracing::warn!(wanted_bytes, freed_bytes, "images in use fill their file system");
        }
        Ok(())
    }
}

/// The images of the runtime, and the names and ids by which its containers, whoever made them, and its sandboxes use
/// some.
async fn look(context: &Context) -> Result<(Vec<Image>, HashSet<String>), CriError> {
    let containers = context.runtime.call(ListContainersRequest::default(), DEADLINE).await?.containers;
    let mut used: HashSet<String> = HashSet::new();
    for one in containers {
        used.extend([one.image_ref, one.image_id, one.image.unwrap_or_default().image]);
    }
    used.extend(context.abilities.sandbox_image.clone());
    used.remove("");
    let images = context.runtime.call(ListImagesRequest::default(), DEADLINE).await?.images;
    Ok((images, used))
}

/// Looks after the images of a node until it is cancelled.
pub async fn keep(context: Arc<Context>, cancelled: CancellationToken) {
    let mut ticks = interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = cancelled.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = context.images.look(&context).await {
            tracing::warn!(%error, "the container runtime does not say what images it has");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(id: &str, name: &str, pinned: bool) -> Image {
        Image { id: id.to_owned(), repo_tags: vec![name.to_owned()], pinned, ..Image::default() }
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_and_what_is_in_use_stays() {
        let images: Vec<Image> = [("a", false), ("b", false), ("c", false), ("d", false), ("p", true)]
            .map(|(id, pinned)| image(id, &format!("r/{id}:1"), pinned))
            .into();
        let used = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<HashSet<_>>();
        let mut memory = Memory::default();
        memory.observe(&images[..1], &used(&[]), 0);
        memory.observe(&images, &used(&["a", "r/c:1"]), 60_000);
        memory.observe(&images, &used(&["r/c:1", "d"]), 70_000);
        let unused = |now_millis: u64, names: &[&str]| {
            let found = memory.unused(&images, &used(names), Duration::from_secs(120), now_millis);
            found.iter().map(|image| image.id.clone()).collect::<Vec<_>>().join("")
        };
        assert_eq!(unused(119_999, &[]), "", "none is old enough");
        assert_eq!(unused(120_000, &["c"]), "a");
        assert_eq!(unused(200_000, &["c"]), "bad", "one that was never used goes first");
        assert_eq!(unused(200_000, &["d"]), "bac");
    }
}
