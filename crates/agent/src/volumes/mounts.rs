//! The folders of a pod's volumes, and what its containers see of them.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use everynode_cri::messages::{Mount, MountPropagation as Propagation};
use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat, openat2};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};

use super::host_path;
use crate::env::{Env, expand};
use crate::layout::Layout;
use crate::pod_spec::{Container, EmptyDir, MountPropagation, Pod, Volume, VolumeMount, VolumeSource};

/// Why a volume or a mount cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The system refused.
    #[error("{path}: {cause}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A path of the node is not what was asked for.
    #[error(transparent)]
    HostPath(#[from] host_path::HostPathError),
    /// The pod has no such volume.
    #[error("there is no volume {0:?}")]
    NoVolume(String),
    /// A part of a volume is outside it.
    #[error("subPath {0:?} is not within its volume")]
    SubPath(String),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> MountError {
    |cause| MountError::Io { path: path.to_owned(), cause }
}

/// Makes an empty file in a folder of the agent, if it is not there.
///
/// # Errors
/// When the system refuses.
pub fn make_file(path: &Path, mode: u32) -> Result<(), MountError> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(at(folder))?;
    let mut open = fs::OpenOptions::new();
    let file = open.create(true).append(true).open(path).map_err(at(path))?;
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(at(path))
}

/// Where a volume is on the node.
pub fn path_of(layout: &Layout, uid: &str, volume: &Volume) -> PathBuf {
    let plugin = match &volume.source {
        VolumeSource::HostPath(host) => return PathBuf::from(&host.path),
        VolumeSource::EmptyDir(_) => "empty-dir",
        VolumeSource::ConfigMap(_) => "configmap",
        VolumeSource::Secret(_) => "secret",
        VolumeSource::DownwardApi(_) => "downward-api",
        VolumeSource::Projected(_) => "projected",
        VolumeSource::Other(_) => "unknown",
    };
    layout.volume(uid, plugin, &volume.name)
}

/// Makes the folder of a volume. What is secret is kept in memory.
///
/// # Errors
/// When the system refuses.
pub fn make_folder(layout: &Layout, pod: &Pod, volume: &Volume) -> Result<(), MountError> {
    let path = path_of(layout, &pod.metadata.uid, volume);
    let group = pod.spec.security_context.fs_group.and_then(|group| u32::try_from(group).ok());
    match &volume.source {
        VolumeSource::HostPath(host) => Ok(host_path::ensure(host)?),
        VolumeSource::EmptyDir(folder) => {
            create(&path, 0o777)?;
            if folder.medium == "Memory" {
                mount_memory(&path, folder)?;
            }
            own(&path, group)
        }
        VolumeSource::Secret(_) | VolumeSource::Projected(_) => {
            create(&path, 0o755)?;
            mount_memory(&path, &EmptyDir::default())?;
            own(&path, group)
        }
        VolumeSource::ConfigMap(_) | VolumeSource::DownwardApi(_) => {
            create(&path, 0o755)?;
            own(&path, group)
        }
        VolumeSource::Other(_) => Err(MountError::NoVolume(volume.name.clone())),
    }
}

fn create(path: &Path, mode: u32) -> Result<(), MountError> {
    fs::DirBuilder::new().recursive(true).mode(0o750).create(path).map_err(at(path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(at(path))
}

/// The group of the pod owns its volumes, and what is made in them.
fn own(path: &Path, group: Option<u32>) -> Result<(), MountError> {
    let Some(group) = group else { return Ok(()) };
    chown(path, None, Some(group)).map_err(at(path))?;
    let mode = fs::metadata(path).map_err(at(path))?.permissions().mode();
    fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o2070)).map_err(at(path))
}

/// Mounts memory there, if that was not done before.
fn mount_memory(path: &Path, folder: &EmptyDir) -> Result<(), MountError> {
    if is_mounted(path) {
        return Ok(());
    }
    let mode = fs::metadata(path).map_err(at(path))?.permissions().mode() & 0o7777;
    let size = folder.size_limit.as_ref().map(|limit| format!(",size={}", limit.value().max(0)));
    let options = format!("mode={mode:o}{}", size.unwrap_or_default());
    let options = std::ffi::CString::new(options).unwrap_or_default();
    mount("tmpfs", path, "tmpfs", MountFlags::empty(), &*options).map_err(|error| at(path)(error.into()))
}

/// A folder on another file system than the one above it is a mount.
fn is_mounted(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    path.parent().is_some_and(|parent| device(path) != device(parent))
}

/// What a container sees of the pod's volumes. Parts of volumes are found without following links out of them.
///
/// # Errors
/// When a part is not within its volume, or the system refuses.
pub fn mounts(
    layout: &Layout,
    pod: &Pod,
    container: &Container,
    env: &Env,
) -> Result<Vec<Mount>, MountError> {
    let uid = &pod.metadata.uid;
    let mut mounts = Vec::new();
    for (index, wanted) in container.volume_mounts.iter().enumerate() {
        let volume = pod.spec.volumes.iter().find(|volume| volume.name == wanted.name);
        let volume = volume.ok_or_else(|| MountError::NoVolume(wanted.name.clone()))?;
        let whole = path_of(layout, uid, volume);
        let value = |name: &str| env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let part = match wanted.sub_path_expr.as_str() {
            "" => wanted.sub_path.clone(),
            expression => expand(expression, value),
        };
        let host_path = match part.as_str() {
            "" => whole,
            part => {
                let target = layout.sub_path(uid, &wanted.name, &container.name, index);
                bind_part(&whole, part, &target)?;
                target
            }
        };
        mounts.push(Mount {
            container_path: wanted.mount_path.clone(),
            host_path: host_path.to_string_lossy().into_owned(),
            readonly: wanted.read_only || is_read_only(&volume.source),
            propagation: propagation(wanted).into(),
            recursive_read_only: wanted.recursive_read_only.as_deref() == Some("Enabled"),
            ..Mount::default()
        });
    }
    Ok(mounts)
}

/// What the agent writes is not the container's to change.
fn is_read_only(source: &VolumeSource) -> bool {
    matches!(
        source,
        VolumeSource::ConfigMap(_)
            | VolumeSource::Secret(_)
            | VolumeSource::DownwardApi(_)
            | VolumeSource::Projected(_)
    )
}

fn propagation(wanted: &VolumeMount) -> Propagation {
    match wanted.mount_propagation {
        Some(MountPropagation::HostToContainer) => Propagation::HostToContainer,
        Some(MountPropagation::Bidirectional) => Propagation::Bidirectional,
        Some(MountPropagation::None) | None => Propagation::Private,
    }
}

/// Binds a part of a volume to a place that only the agent writes to. The part is opened beneath the volume by the
/// kernel, so that a link that is changed meanwhile leads nowhere else; what is missing is made as a folder.
fn bind_part(whole: &Path, part: &str, target: &Path) -> Result<(), MountError> {
    let root = openat(rustix::fs::CWD, whole, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| at(whole)(error.into()))?;
    let outside = || MountError::SubPath(part.to_owned());
    if Path::new(part).is_absolute() || part.split('/').any(|one| one == "..") {
        return Err(outside());
    }
    let beneath = |path: &Path| {
        openat2(&root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::BENEATH)
    };
    let mut made = PathBuf::new();
    for piece in Path::new(part).components() {
        let parent = made.clone();
        made.push(piece);
        match beneath(&made) {
            Ok(_) => {}
            Err(rustix::io::Errno::NOENT) => {
                let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { &*parent };
                let parent = beneath(parent).map_err(|_| outside())?;
                mkdirat(&parent, Path::new(&piece), Mode::from_raw_mode(0o750))
                    .map_err(|error| at(&whole.join(&made))(error.into()))?;
            }
            Err(_) => return Err(outside()),
        }
    }
    let found = beneath(&made).map_err(|_| outside())?;
    let from = PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd()));
    unmount_all(target);
    let folder = target.parent().unwrap_or(target);
    fs::create_dir_all(folder).map_err(at(folder))?;
    match fs::metadata(&from).map_err(at(&from))?.is_dir() {
        true => fs::create_dir_all(target).map_err(at(target))?,
        false => drop(fs::File::create(target).map_err(at(target))?),
    }
    mount_bind(&from, target).map_err(|error| at(target)(error.into()))
}

/// Takes away whatever is mounted there.
fn unmount_all(target: &Path) {
    // A limit, for a kernel that would never say that nothing is mounted.
    for _ in 0..64 {
        if unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).is_err() {
            return;
        }
    }
}

/// Takes away all that a pod has on the node: first what is mounted, then the folders.
///
/// # Errors
/// When something is still mounted: then nothing is removed, since what is mounted may be the node's own files.
pub fn remove(layout: &Layout, uid: &str) -> Result<(), MountError> {
    let pod = layout.pod(uid);
    for mounted in mounts_below(&pod) {
        unmount_all(&mounted);
    }
    if let Some(left) = mounts_below(&pod).first() {
        return Err(MountError::Io { path: left.clone(), cause: io::Error::other("is still mounted") });
    }
    match fs::remove_dir_all(&pod) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&pod)(error)),
        _ => Ok(()),
    }
}

/// Mounts at or below a path, the innermost first.
fn mounts_below(path: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut found: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|text| PathBuf::from(unescape(text)))
        .filter(|mounted| mounted.starts_with(path))
        .collect();
    found.sort_by_key(|mounted| std::cmp::Reverse(mounted.as_os_str().len()));
    found
}

/// Spaces and such are written as octal numbers.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}
