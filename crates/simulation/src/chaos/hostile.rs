//! What somebody can do who may write everything in one namespace but DaemonSets, and may not create privileged pods:
//! one thing again and again for a while, and then another one.

use std::sync::Arc;
use std::time::Duration;

use everynode_model::Value;
use serde_json::json;

use super::Chaos;
use super::TWIN;
use crate::cluster::Cluster;
use crate::model::{Key, Kind, controller_uid, is_live, name, target_node, uid};
use crate::objects::orphan;

/// What the names of pods begin with that the hostile user has made.
const FORGED_POD: &str = "forged-";
const HASH_LABEL: &str = "controller-revision-hash";
/// More than a number of a revision is ever counted up to.
const LARGEST_NUMBER: i64 = i64::MAX;

/// Somebody without rights on DaemonSets.
pub(crate) struct Hostile {
    hand: Chaos,
    pursuit: Pursuit,
    /// How many times more.
    left: u32,
    /// The time between two of them.
    pause: Duration,
}

/// What is done in a loop.
#[derive(Clone, Copy, Debug)]
enum Pursuit {
    DeletePods,
    TogglePod,
    RehashPods,
    DisownPods,
    ForgePods,
    ReplaceRevisions,
    RelabelRevisions,
    RenumberRevisions,
    DuplicateRevisions,
    DisownRevisions,
    Steer,
}

impl Pursuit {
    const ALL: [Pursuit; 11] = [
        Pursuit::DeletePods,
        Pursuit::TogglePod,
        Pursuit::RehashPods,
        Pursuit::DisownPods,
        Pursuit::ForgePods,
        Pursuit::ReplaceRevisions,
        Pursuit::RelabelRevisions,
        Pursuit::RenumberRevisions,
        Pursuit::DuplicateRevisions,
        Pursuit::DisownRevisions,
        Pursuit::Steer,
    ];
}

impl Hostile {
    /// One who writes in this namespace.
    pub(crate) fn new(seed: u64, namespace: &'static str) -> Hostile {
        let mut hand = Chaos::new(seed, false);
        hand.within = Some(namespace);
        Hostile { hand, pursuit: Pursuit::Steer, left: 0, pause: Duration::ZERO }
    }

    /// The time until the next thing.
    pub(crate) fn pause(&mut self) -> Duration {
        if self.left == 0 {
            let random = &mut self.hand.random;
            self.pursuit = random.choice(Pursuit::ALL).unwrap_or(Pursuit::Steer);
            self.left = random.choice([5, 20, 100]).unwrap_or(5);
            self.pause = Duration::from_millis(random.choice([50, 200, 1_000, 5_000]).unwrap_or(200));
        }
        self.left -= 1;
        self.pause
    }

    /// Does one thing.
    pub(crate) fn act(&mut self, cluster: &Cluster) -> Option<()> {
        match self.pursuit {
            Pursuit::DeletePods => self.delete_pods(cluster),
            Pursuit::TogglePod => self.toggle_pod(cluster),
            Pursuit::RehashPods => self.rehash_pod(cluster),
            Pursuit::DisownPods => self.disown(cluster, Kind::Pod),
            Pursuit::ForgePods => self.forge_pod(cluster),
            Pursuit::ReplaceRevisions => self.replace_revision(cluster),
            Pursuit::RelabelRevisions => self.relabel_revision(cluster),
            Pursuit::RenumberRevisions => self.renumber_revision(cluster),
            Pursuit::DuplicateRevisions => self.duplicate_revision(cluster),
            Pursuit::DisownRevisions => self.disown(cluster, Kind::Revision),
            Pursuit::Steer => self.hand.steer(cluster),
        }
    }

    /// All pods of a node, whether they were there a moment ago or not.
    fn delete_pods(&mut self, cluster: &Cluster) -> Option<()> {
        let (_, pod) = self.hand.daemon(cluster)?;
        let node = target_node(&pod)?;
        let grace = self.hand.random.choice([0, 0, 30])?;
        for (key, pod) in self.all(cluster, Kind::Pod) {
            if target_node(&pod) == Some(node) {
                cluster.delete(&key, &json!({"gracePeriodSeconds": grace}));
            }
        }
        Some(())
    }

    /// A pod that serves is released, and given back: the oldest, so that it is the same one each time.
    fn toggle_pod(&mut self, cluster: &Cluster) -> Option<()> {
        let live = self.all(cluster, Kind::Pod).into_iter().filter(|(_, pod)| is_live(pod));
        let (key, pod) = live.min_by_key(|(_, pod)| pod["metadata"]["creationTimestamp"].to_string())?;
        let app = match super::label(&pod, "app") {
            Some("released") => key.name.split('-').next().unwrap_or_default(),
            _ => "released",
        };
        cluster.patch(&key, &json!({"metadata": {"labels": {"app": app}}}));
        Some(())
    }

    fn rehash_pod(&mut self, cluster: &Cluster) -> Option<()> {
        let ((pod, _), revision) = (self.hand.daemon(cluster)?, self.hand.one(cluster, Kind::Revision)?);
        let hash = cluster.get(&revision)?["metadata"]["labels"][HASH_LABEL].clone();
        let hash = self.hand.random.choice([hash, json!("nothing"), Value::Null])?;
        cluster.patch(&pod, &json!({"metadata": {"labels": {HASH_LABEL: hash}}}));
        Some(())
    }

    /// A pod like those of a DaemonSet, with the hash of a revision and any owner.
    fn forge_pod(&mut self, cluster: &Cluster) -> Option<()> {
        let (daemonset, node) =
            (self.hand.one(cluster, Kind::DaemonSet)?, self.hand.one(cluster, Kind::Node)?);
        self.hand.count += 1;
        let names = [format!("{FORGED_POD}{}", self.hand.count), format!("{}-{}", daemonset.name, node.name)];
        let pod_name = self.hand.random.choice(names)?;
        let image = format!("example.com/user:{}", self.hand.count);
        let mut pod = orphan(&daemonset.namespace, &pod_name, &node.name, &daemonset.name, &image);
        if let Some(revision) = self.hand.one(cluster, Kind::Revision)
            && let Some(revision) = cluster.get(&revision)
        {
            pod["metadata"]["labels"][HASH_LABEL] = revision["metadata"]["labels"][HASH_LABEL].clone();
        }
        pod["metadata"]["ownerReferences"] = self.owners(cluster);
        cluster.create(Kind::Pod, &pod);
        Some(())
    }

    /// Some owner: a DaemonSet of any namespace, one that is not there, somebody else, nobody.
    fn owners(&mut self, cluster: &Cluster) -> Value {
        let daemonsets = cluster.keys(Kind::DaemonSet);
        let daemonset = self.hand.random.choice(daemonsets).and_then(|key| cluster.get(&key));
        let number = self.hand.random.u8(..8);
        let owner = |kind: &str, name: &str, uid: &str| json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": true}]);
        match (number, daemonset) {
            (0, _) => json!([]),
            (1, _) => owner("DaemonSet", "gone", "00000000-0000-4000-9000-000000000000"),
            (2, _) => owner("StatefulSet", "other", "00000000-0000-4000-9000-000000000001"),
            (_, Some(daemonset)) => owner("DaemonSet", name(&daemonset), uid(&daemonset)),
            (_, None) => json!([]),
        }
    }

    fn disown(&mut self, cluster: &Cluster, kind: Kind) -> Option<()> {
        let key = self.hand.one(cluster, kind)?;
        let owners = self.owners(cluster);
        cluster.patch(&key, &json!({"metadata": {"ownerReferences": owners}}));
        Some(())
    }

    /// The good one goes, and one of the same name and labels comes that says something else.
    fn replace_revision(&mut self, cluster: &Cluster) -> Option<()> {
        let key = self.hand.one(cluster, Kind::Revision)?;
        let good = cluster.get(&key)?;
        cluster.delete(&key, &json!({}));
        if self.hand.random.u8(..4) > 0 {
            let forged = self.forged(&good, &key.name);
            cluster.create(Kind::Revision, &forged);
        }
        Some(())
    }

    fn duplicate_revision(&mut self, cluster: &Cluster) -> Option<()> {
        let key = self.hand.one(cluster, Kind::Revision)?;
        let good = cluster.get(&key)?;
        self.hand.count += 1;
        let twin_name = format!("{TWIN}{}", self.hand.count);
        let mut twin = match self.hand.random.bool() {
            true => self.forged(&good, &twin_name),
            false => copy(&good, &twin_name),
        };
        twin["revision"] = self.number(&good).into();
        cluster.create(Kind::Revision, &twin);
        Some(())
    }

    /// A revision as this one, of a template that nobody with rights has written.
    fn forged(&mut self, good: &Value, revision_name: &str) -> Value {
        self.hand.count += 1;
        let mut forged = copy(good, revision_name);
        let spec = &mut forged["data"]["spec"]["template"]["spec"];
        spec["containers"][0]["image"] = format!("example.com/forged:{}", self.hand.count).into();
        spec["hostPID"] = true.into();
        forged
    }

    fn number(&mut self, revision: &Value) -> i64 {
        let number = revision["revision"].as_i64().unwrap_or(0);
        let numbers = [0, 1, number, number.saturating_add(1), LARGEST_NUMBER];
        self.hand.random.choice(numbers).unwrap_or(number)
    }

    fn renumber_revision(&mut self, cluster: &Cluster) -> Option<()> {
        let key = self.hand.one(cluster, Kind::Revision)?;
        let number = self.number(&*cluster.get(&key)?);
        cluster.patch(&key, &json!({"revision": number}));
        Some(())
    }

    fn relabel_revision(&mut self, cluster: &Cluster) -> Option<()> {
        let (key, other) = (self.hand.one(cluster, Kind::Revision)?, self.hand.one(cluster, Kind::Revision)?);
        let hash = cluster.get(&other)?["metadata"]["labels"][HASH_LABEL].clone();
        let labels = [
            json!({HASH_LABEL: hash}),
            json!({HASH_LABEL: "nothing"}),
            json!({HASH_LABEL: null}),
            json!({"app": "released"}),
            json!({"app": key.name.split('-').next()}),
        ];
        let labels = self.hand.random.choice(labels)?;
        cluster.patch(&key, &json!({"metadata": {"labels": labels}}));
        Some(())
    }

    fn all(&self, cluster: &Cluster, kind: Kind) -> Vec<(Key, Arc<Value>)> {
        let keys = cluster.keys(kind).into_iter().filter(|key| self.hand.reaches(key));
        keys.filter_map(|key| cluster.get(&key).map(|pod| (key, pod))).collect()
    }

    /// Somebody with rights takes away what stands in the way and no controller may touch.
    pub(crate) fn heal(&self, cluster: &Cluster) {
        let daemonsets = cluster.keys(Kind::DaemonSet).into_iter().filter(|key| self.hand.reaches(key));
        let owners: Vec<_> = daemonsets.filter_map(|key| cluster.get(&key)).collect();
        for kind in [Kind::Pod, Kind::Revision] {
            for (key, object) in self.all(cluster, kind) {
                let is_own = controller_uid(&object)
                    .is_some_and(|(_, owner)| owners.iter().any(|one| uid(one) == owner));
                if !is_own {
                    cluster.delete(&key, &json!({"gracePeriodSeconds": 0}));
                }
            }
        }
    }
}

/// A revision of another name that says the same.
fn copy(good: &Value, revision_name: &str) -> Value {
    let mut copy = good.clone();
    let metadata = &good["metadata"];
    copy["metadata"] = json!({
        "name": revision_name, "namespace": metadata["namespace"], "labels": metadata["labels"],
        "annotations": metadata["annotations"], "ownerReferences": metadata["ownerReferences"],
    });
    copy
}
