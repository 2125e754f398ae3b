//! Where things of pods are on the node: as the kubelet has them, so that tools that look there find them.

use std::path::{Path, PathBuf};

use crate::pod_spec::Pod;

/// The folders of an agent.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
    logs: PathBuf,
}

impl Layout {
    /// With this folder for volumes and this one for logs, `/var/lib/kubelet` and `/var/log/pods` for the kubelet.
    pub fn new(root: impl Into<PathBuf>, logs: impl Into<PathBuf>) -> Layout {
        Layout { root: root.into(), logs: logs.into() }
    }

    /// What the pod has on the node.
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.root.join("pods").join(segment(uid))
    }

    /// A volume that is made here.
    pub fn volume(&self, uid: &str, plugin: &str, name: &str) -> PathBuf {
        self.pod(uid).join("volumes").join(format!("kubernetes.io~{plugin}")).join(segment(name))
    }

    /// Parts of volumes that containers see.
    pub fn sub_path(&self, uid: &str, volume: &str, container: &str, index: usize) -> PathBuf {
        let folder = self.pod(uid).join("volume-subpaths").join(segment(volume));
        folder.join(segment(container)).join(index.to_string())
    }

    /// The file into which a container writes why it ended.
    pub fn last_words(&self, uid: &str, container: &str, attempt: u32) -> PathBuf {
        self.pod(uid).join("containers").join(segment(container)).join(attempt.to_string())
    }

    /// The hosts file of a pod.
    pub fn hosts(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("etc-hosts")
    }

    /// The folder of a pod's logs.
    pub fn logs(&self, pod: &Pod) -> PathBuf {
        let metadata = &pod.metadata;
        self.logs_of(&metadata.namespace, &metadata.name, &metadata.uid)
    }

    /// The folder of the logs of a pod that is known by these alone.
    pub fn logs_of(&self, namespace: &str, name: &str, uid: &str) -> PathBuf {
        self.logs.join(segment(&format!("{namespace}_{name}_{uid}")))
    }

    /// The folder of volumes.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// The log of a container within its pod's folder.
pub fn log_path(container: &str, attempt: u32) -> String {
    format!("{}/{attempt}.log", segment(container))
}

/// A name as one part of a path. The API server admits no other names, and a name that leads elsewhere must not.
fn segment(name: &str) -> String {
    match name {
        "" | "." | ".." => "_".to_owned(),
        name => name.replace(['/', '\0'], "_"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_lead_out_of_their_folder() {
        let layout = Layout::new("/r", "/l");
        for (uid, expected) in
            [("u", "/r/pods/u"), ("..", "/r/pods/_"), ("../../etc", "/r/pods/.._.._etc"), ("", "/r/pods/_")]
        {
            assert_eq!(layout.pod(uid), Path::new(expected));
        }
        assert_eq!(layout.volume("u", "secret", "s"), Path::new("/r/pods/u/volumes/kubernetes.io~secret/s"));
        assert_eq!(layout.logs_of("n", "p", "u"), Path::new("/l/n_p_u"));
    }
}
