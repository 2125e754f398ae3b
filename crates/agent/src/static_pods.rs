//! Pods that a node has from files of its own: they run without an API, and show themselves there by mirrors.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use everynode_model::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::mirror;
use crate::pod_spec::Pod;

/// Between two looks at the folder.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Files that are read; those behind them by name are not.
const FILES_LIMIT: usize = 500;
/// The longest manifest.
const FILE_LIMIT_BYTES: u64 = 1 << 20;

/// Reads the manifest of a static pod of the node of this name, complete with its defaults; or says why it is none.
type Reader = dyn Fn(&[u8], &str) -> Result<Value, String> + Send + Sync;

/// Where static pods come from.
#[derive(Clone)]
pub struct StaticPods {
    folder: PathBuf,
    read: Arc<Reader>,
}

impl std::fmt::Debug for StaticPods {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StaticPods").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// The static pods that are to run, by uid.
pub type Wanted = BTreeMap<String, Arc<Pod>>;

impl StaticPods {
    /// From the files of a folder but those whose names begin with a dot, each with one manifest, which is read like
    /// this.
    pub fn new(
        folder: PathBuf,
        read: impl Fn(&[u8], &str) -> Result<Value, String> + Send + Sync + 'static,
    ) -> StaticPods {
        StaticPods { folder, read: Arc::new(read) }
    }

    /// What the folder says now. What is wrong with a file is said once for as long as it stays so.
    fn look(&self, node: &str, told: &mut BTreeMap<PathBuf, String>) -> Wanted {
        let mut wanted = Wanted::new();
        let mut wrong = BTreeMap::new();
        for file in files(&self.folder) {
            match self.pod(&file, node) {
                Ok(pod) if wanted.values().any(|other| other.has_name_of(&pod)) => {
                    let metadata = &pod.metadata;
                    let message =
                        format!("another file has the pod {}/{}", metadata.namespace, metadata.name);
                    wrong.insert(file, message);
                }
                Ok(pod) => drop(wanted.insert(pod.metadata.uid.clone(), Arc::new(pod))),
                Err(message) => drop(wrong.insert(file, message)),
            }
        }
        for (file, message) in wrong.iter().filter(|(file, message)| told.get(*file) != Some(*message)) {
            tracing::error!(file = %file.display(), message, "a file has no static pod");
        }
        *told = wrong;
        wanted
    }

    fn pod(&self, file: &Path, node: &str) -> Result<Pod, String> {
        let mut bytes = Vec::new();
        let opened = std::fs::File::open(file).map_err(|error| error.to_string())?;
        opened.take(FILE_LIMIT_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() as u64 > FILE_LIMIT_BYTES {
            return Err(format!("it is longer than {FILE_LIMIT_BYTES} bytes"));
        }
        let mut object = (self.read)(&bytes, node)?;
        // A file that says something else makes another pod: the one before it ends first.
        object["metadata"]["uid"] = uid(file, &bytes, node).into();
        mirror::mark(&mut object);
        let mut pod: Pod = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
        pod.file = Some(Arc::new(object));
        Ok(pod)
    }
}

/// The files of a folder by name; none where there is no folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_shown = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !name.starts_with('.') && path.is_file()
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_shown).collect();
    files.sort();
    if files.len() > FILES_LIMIT {
        tracing::error!(folder = %folder.display(), "of more than {FILES_LIMIT} files the first are read");
        files.truncate(FILES_LIMIT);
    }
    files
}

/// The same for the same file on the same node, whatever agent reads it.
fn uid(file: &Path, bytes: &[u8], node: &str) -> String {
    let mut hash = Sha256::new();
    for part in [node.as_bytes(), file.as_os_str().as_encoded_bytes(), bytes] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Follows the folder. What it says in the beginning is there when this returns; the task goes on until it is cancelled.
pub async fn follow(
    from: Option<StaticPods>,
    node: String,
    cancelled: CancellationToken,
) -> (watch::Receiver<Wanted>, impl Future<Output = ()> + Send) {
    let mut told = BTreeMap::new();
    let first = from.as_ref().map(|from| from.look(&node, &mut told)).unwrap_or_default();
    let (wanted, receiver) = watch::channel(first);
    let follow = async move {
        let Some(from) = from else { return };
        loop {
            tokio::select! {
                () = cancelled.cancelled() => return,
                () = sleep(LOOK_INTERVAL) => {}
            }
            let now = from.look(&node, &mut told);
            wanted.send_if_modified(|before| {
                let is_new = !before.keys().eq(now.keys());
                *before = now;
                is_new
            });
        }
    };
    (receiver, follow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_says_which_pods_are_to_run_and_what_is_wrong_once() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let pod = |name: &str| format!(r#"{{"metadata":{{"namespace":"n","name":"{name}"}},"spec":{{}}}}"#);
        let from = StaticPods::new(folder.path().to_owned(), |bytes, _| {
            serde_json::from_slice(bytes).map_err(|error| error.to_string())
        });
        let mut told = BTreeMap::new();
        let mut look = || {
            let wanted = from.look("w", &mut told);
            let names = wanted.iter().map(|(uid, pod)| (pod.metadata.name.clone(), uid.clone()));
            (names.collect::<BTreeMap<_, _>>(), told.len())
        };
        write("a.json", &pod("a"));
        write("b.json", "no pod");
        write(".hidden", &pod("h"));
        let (first, wrong) = look();
        assert_eq!((first.keys().map(String::as_str).collect::<Vec<_>>(), wrong), (vec!["a"], 1));
        assert_eq!(look().0, first, "a file that has not changed is the same pod");
        write("b.json", &pod("a"));
        assert_eq!(look(), (first.clone(), 1), "a name is taken once");
        write("a.json", &format!("{} ", pod("a")));
        write("b.json", &pod("b"));
        let (changed, wrong) = look();
        assert_eq!((changed.keys().map(String::as_str).collect::<Vec<_>>(), wrong), (vec!["a", "b"], 0));
        assert_ne!(changed["a"], first["a"], "a file that has changed is another pod");
        std::fs::remove_dir_all(folder.path()).unwrap();
        assert_eq!(look(), (BTreeMap::new(), 0));
    }
}
