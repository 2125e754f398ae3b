//! The node's file system: that of the machine, whose changes are kept in memory and seen in the node only, and beside
//! it the node's own folders on disk.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_change,
    mount_remount, unmount,
};
use rustix::process::{chdir, pivot_root};

use super::InsideError;

/// Folders of the kubelet and of pods' logs, where tools look for them.
pub const KUBELET: &str = "/var/lib/kubelet";
pub const POD_LOGS: &str = "/var/log/pods";

/// Where what is large is: on disk, in the node's folder.
const ON_DISK: [(&str, &str); 3] =
    [("containerd", "/var/lib/containerd"), ("kubelet", KUBELET), ("pods", POD_LOGS)];
/// What begins empty in a node, whatever the machine has there.
const EMPTY: [&str; 5] = ["/run", "/etc/cni/net.d", "/opt/cni/bin", "/etc/containerd", "/var/log/containers"];
/// What is mounted below these is not copied: nodes have their own, or that of the kernel.
const OWN: [&str; 4] = ["/proc", "/sys", "/dev", "/run"];

/// Makes the node's file system and enters it.
pub fn enter(folder: &Path) -> Result<(), InsideError> {
    let memory = folder.join("memory");
    let root = memory.join("root");
    make_folder(&memory)?;
    let none = MountFlags::empty();
    mount("tmpfs", &memory, "tmpfs", none, c"mode=0755").map_err(InsideError::system("mount a tmpfs"))?;
    make_folder(&root)?;
    Overlays { memory: &memory, count: 0 }.mount_all(&root, folder)?;
    mount_kernel(&root)?;
    for target in EMPTY {
        let target = below(&root, target);
        make_folder(&target)?;
        mount("tmpfs", &target, "tmpfs", none, c"mode=0755").map_err(InsideError::system("mount a tmpfs"))?;
    }
    for (source, target) in ON_DISK {
        let (source, target) = (folder.join(source), below(&root, target));
        make_folder(&source)?;
        make_folder(&target)?;
        mount_bind(&source, &target).map_err(InsideError::system(format!("mount {}", target.display())))?;
    }
    let id = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default().replace('-', "");
    fs::write(below(&root, "/etc/machine-id"), id).map_err(InsideError::system("write /etc/machine-id"))?;
    change_root(&root).map_err(InsideError::system("change the root"))
}

/// The file system of the machine, each of its disks below an overlay of its own.
struct Overlays<'a> {
    memory: &'a Path,
    count: u32,
}

impl Overlays<'_> {
    fn mount_all(&mut self, root: &Path, own: &Path) -> Result<(), InsideError> {
        self.mount(Path::new("/"), root).map_err(InsideError::system("mount an overlay of /"))?;
        let table = fs::read_to_string("/proc/self/mountinfo");
        let table = table.map_err(InsideError::system("read /proc/self/mountinfo"))?;
        for point in disks(&table).filter(|point| !point.starts_with(own)) {
            let target = below(root, &point);
            // What is hidden below another mount is not there.
            if target.exists() && self.mount(&point, &target).is_err() {
                bind_read_only(&point, &target)
                    .map_err(InsideError::system(format!("mount {}", target.display())))?;
            }
        }
        Ok(())
    }

    fn mount(&mut self, lower: &Path, target: &Path) -> rustix::io::Result<()> {
        self.count += 1;
        let of = |kind: &str| self.memory.join(format!("{kind}-{}", self.count));
        let (upper, work) = (of("upper"), of("work"));
        for folder in [&upper, &work] {
            rustix::fs::mkdirat(CWD, folder, 0o755.into())?;
        }
        let [lower, upper, work] = [lower, &upper, &work].map(escaped);
        let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
        let options = std::ffi::CString::new(options).map_err(|_| rustix::io::Errno::INVAL)?;
        mount("overlay", target, "overlay", MountFlags::empty(), options.as_c_str())
    }
}

/// The mount points of disks beside the root, as the kernel lists them. What is mounted of memory or of the kernel
/// names no device by its path.
fn disks(table: &str) -> impl Iterator<Item = PathBuf> {
    table.lines().filter_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let point = PathBuf::from(unescaped(mount.split(' ').nth(4)?));
        let source = file_system.split(' ').nth(1)?;
        let is_own = point == Path::new("/") || OWN.iter().any(|own| point.starts_with(own));
        (source.starts_with('/') && !is_own).then_some(point)
    })
}

/// Spaces and their like are octal in the kernel's lists.
fn unescaped(text: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .into_iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(text.to_owned(), |text, (octal, character)| text.replace(octal, character))
}

/// What separates options and folders of an overlay is escaped in their names.
fn escaped(path: &Path) -> String {
    ["\\", ",", ":"]
        .into_iter()
        .fold(path.to_string_lossy().into_owned(), |text, it| text.replace(it, &format!("\\{it}")))
}

fn bind_read_only(source: &Path, target: &Path) -> rustix::io::Result<()> {
    mount_bind(source, target)?;
    mount_remount(target, MountFlags::BIND | MountFlags::RDONLY, c"")
}

/// What the kernel shows, of this node's namespaces, and the machine's devices and cgroups.
fn mount_kernel(root: &Path) -> Result<(), InsideError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let proc = mount("proc", below(root, "/proc"), "proc", flags, None);
    proc.map_err(InsideError::system("mount /proc"))?;
    let sys = mount("sysfs", below(root, "/sys"), "sysfs", flags, None);
    sys.map_err(InsideError::system("mount /sys"))?;
    for shared in ["/sys/fs/cgroup", "/dev"] {
        let bound = mount_bind_recursive(shared, below(root, shared));
        bound.map_err(InsideError::system(format!("mount {shared}")))?;
    }
    Ok(())
}

/// Makes a folder the root of all mounts, and everything else go. What containers mount is seen by the node from then
/// on, and by containers that ask for it.
fn change_root(root: &Path) -> rustix::io::Result<()> {
    chdir(root)?;
    // The old root lies above the new one for a moment; no folder has to be made for it.
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")?;
    mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC)
}

fn make_folder(path: &Path) -> Result<(), InsideError> {
    fs::create_dir_all(path).map_err(InsideError::system(format!("make {}", path.display())))
}

/// A path of the node, while the node's root is still a folder of the machine.
fn below(root: &Path, path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_beside_the_root_are_found_in_the_kernels_list() {
        let table = "22 1 254:0 / / rw - ext4 /dev/vda rw\n\
                     23 22 0:20 / /proc rw - proc proc rw\n\
                     24 22 254:1 / /home/a\\040b rw shared:1 - ext4 /dev/vdb rw\n\
                     25 22 0:21 / /tmp rw - tmpfs tmpfs rw\n\
                     26 22 254:2 / /run/media rw - ext4 /dev/vdc rw\n\
                     27 22 254:0 /etc/hosts /etc/hosts rw - ext4 /dev/vda rw\n\
                     nonsense\n";
        let found: Vec<PathBuf> = disks(table).collect();
        assert_eq!(found, [PathBuf::from("/home/a b"), PathBuf::from("/etc/hosts")]);
    }

    #[test]
    fn names_of_folders_do_not_end_the_options_of_an_overlay() {
        assert_eq!(escaped(Path::new("/a,b:c\\d")), "/a\\,b\\:c\\\\d");
    }

    #[test]
    fn paths_of_a_node_are_below_its_root() {
        assert_eq!(below(Path::new("/r"), "/etc"), Path::new("/r/etc"));
        assert_eq!(below(Path::new("/r"), "etc"), Path::new("/r/etc"));
    }
}
