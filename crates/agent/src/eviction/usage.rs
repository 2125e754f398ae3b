//! What pods use of what a node is short of.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use everynode_cri::CriError;
use everynode_cri::messages::{
    ContainerStats, ListPodSandboxStatsRequest, PodSandboxStats, PodSandboxStatsFilter, UInt64Value,
};
use everynode_model::Value;
use everynode_model::pod_resources::{Side, with_overhead};

use super::rank::Candidate;
use crate::bound::BoundPod;
use crate::context::Context;
use crate::measure;
use crate::readings::Signal;
use crate::runtime::{Listing, label};

/// How long the runtime may take to tell.
const DEADLINE: Duration = Duration::from_secs(10);
/// Entries of folders that are counted of one pod; who has more has at least so much.
const ENTRIES_LIMIT: u64 = 1_000_000;

/// What the files below a folder take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FolderUse {
    /// Bytes on the disk.
    pub bytes: u64,
    /// Files and folders.
    pub inodes: u64,
}

impl FolderUse {
    /// Both together.
    pub fn with(self, other: FolderUse) -> FolderUse {
        FolderUse {
            bytes: self.bytes.saturating_add(other.bytes),
            inodes: self.inodes.saturating_add(other.inodes),
        }
    }
}

/// What the files below a folder take, on its own file system and without following links.
pub fn folder_use(path: &Path) -> FolderUse {
    let mut found = FolderUse::default();
    let Ok(top) = std::fs::symlink_metadata(path) else { return found };
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            // What went meanwhile takes nothing.
            let Ok(metadata) = entry.metadata() else { continue };
            if found.inodes >= ENTRIES_LIMIT {
                return found;
            }
            if metadata.dev() == top.dev() {
                found.inodes += 1;
                found.bytes = found.bytes.saturating_add(metadata.blocks().saturating_mul(512));
                folders.extend(metadata.is_dir().then(|| entry.path()));
            }
        }
    }
    found
}

/// What the runtime tells of the pods of this node.
///
/// # Errors
/// When it does not.
pub async fn stats(context: &Context) -> Result<Vec<PodSandboxStats>, CriError> {
    let selector = [(label::NODE.to_owned(), context.node.name.clone())].into();
    let filter = PodSandboxStatsFilter { label_selector: selector, ..PodSandboxStatsFilter::default() };
    let request = ListPodSandboxStatsRequest { filter: Some(filter) };
    Ok(context.runtime.call(request, DEADLINE).await?.stats)
}

/// The pods that may go, with what they use of what is short: those that run, and without which the node goes on.
pub(super) async fn candidates(context: &Context, listing: &Listing, signal: Signal) -> Vec<Candidate> {
    let stats = stats(context).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the container runtime does not tell what pods use");
        Vec::new()
    });
    let of_uid = |one: PodSandboxStats| {
        let uid = one.attributes.as_ref()?.labels.get(label::POD_UID)?.clone();
        Some((uid, one))
    };
    let stats: HashMap<String, PodSandboxStats> = stats.into_iter().filter_map(of_uid).collect();
    let has_own_disk = measure::has_image_disk(context).await;
    let mut found = Vec::new();
    for BoundPod { pod, object } in context.bound.all() {
        let uid = &pod.metadata.uid;
        let runs = listing.pods.get(uid).is_some_and(|view| view.running().next().is_some());
        if !runs || pod.is_critical() || pod.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let folders = vec![context.layout.pod(uid), context.layout.logs(&pod)];
        let usage = usage(signal, stats.get(uid), folders, has_own_disk).await;
        let spec: Value =
            serde_json::from_slice(&object).map(|pod: Value| pod["spec"].clone()).unwrap_or_default();
        let request = request(&spec, signal);
        found.push(Candidate { uid: uid.clone(), priority: pod.spec.priority, usage, request });
    }
    found
}

fn request(spec: &Value, signal: Signal) -> u64 {
    let resource = match signal {
        Signal::MemoryAvailable => "memory",
        Signal::NodeFsAvailable | Signal::ImageFsAvailable => "ephemeral-storage",
        Signal::NodeFsInodesFree | Signal::ImageFsInodesFree | Signal::PidAvailable => return 0,
    };
    let asked = with_overhead(spec, Side::Requests).get(resource).map_or(0, |amount| amount.value());
    u64::try_from(asked).unwrap_or(0)
}

/// What a pod uses of what is short. `has_image_disk` where what containers write is on another disk than volumes and
/// logs.
async fn usage(
    signal: Signal,
    stats: Option<&PodSandboxStats>,
    folders: Vec<PathBuf>,
    has_image_disk: bool,
) -> u64 {
    let containers = stats.and_then(|one| one.linux.as_ref()).map(|linux| &linux.containers);
    let sum = |of: fn(&ContainerStats) -> Option<&UInt64Value>| -> u64 {
        containers.into_iter().flatten().filter_map(of).fold(0, |sum, one| sum.saturating_add(one.value))
    };
    let layers = FolderUse {
        bytes: sum(|one| one.writable_layer.as_ref()?.used_bytes.as_ref()),
        inodes: sum(|one| one.writable_layer.as_ref()?.inodes_used.as_ref()),
    };
    let on_disk = async |counts_layers: bool, counts_folders: bool| {
        let layers = if counts_layers { layers } else { FolderUse::default() };
        if !counts_folders {
            return layers;
        }
        let count = move || folders.iter().map(|folder| folder_use(folder)).fold(layers, FolderUse::with);
        tokio::task::spawn_blocking(count).await.unwrap_or(layers)
    };
    match signal {
        Signal::MemoryAvailable => {
            memory(stats).unwrap_or_else(|| sum(|one| one.memory.as_ref()?.working_set_bytes.as_ref()))
        }
        Signal::PidAvailable => processes(stats).unwrap_or(0),
        Signal::NodeFsAvailable => on_disk(!has_image_disk, true).await.bytes,
        Signal::NodeFsInodesFree => on_disk(!has_image_disk, true).await.inodes,
        Signal::ImageFsAvailable => on_disk(true, !has_image_disk).await.bytes,
        Signal::ImageFsInodesFree => on_disk(true, !has_image_disk).await.inodes,
    }
}

fn processes(stats: Option<&PodSandboxStats>) -> Option<u64> {
    Some(stats?.linux.as_ref()?.process.as_ref()?.process_count.as_ref()?.value)
}

fn memory(stats: Option<&PodSandboxStats>) -> Option<u64> {
    Some(stats?.linux.as_ref()?.memory.as_ref()?.working_set_bytes.as_ref()?.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_without_following_links() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        std::fs::write(folder.path().join("sub/file"), vec![1; 10_000]).unwrap();
        std::os::unix::fs::symlink("/", folder.path().join("link")).unwrap();
        let found = folder_use(folder.path());
        assert_eq!(found.inodes, 3);
        assert!((10_000..100_000).contains(&found.bytes), "{found:?}");
        assert_eq!(folder_use(&folder.path().join("none")), FolderUse::default());
    }
}
