//! What people and machines do to a cluster while the faults last.

mod hostile;
mod policies;

use std::sync::Arc;
use std::time::Duration;

use everynode_model::Value;
use serde_json::json;

use crate::cluster::Cluster;
use crate::model::{Key, Kind, controller_uid, is_bound_to, is_live, label, name, namespace, uid};

use crate::objects::{BAD_IMAGE, Hold, NEVER_READY, NewDaemonSet, image, orphan, rolling};
use crate::world::lock;

pub(crate) use hostile::Hostile;

const SILENT: &str = "simulate.everynode.dev/silent";
/// What the names of revisions begin with that people made.
const TWIN: &str = "twin-";

/// Draws what happens, and remembers what has to be put right in the end.
pub(crate) struct Chaos {
    random: fastrand::Rng,
    /// The newest version of any template.
    version: u32,
    count: u32,
    /// Nodes that were deleted, as they were.
    deleted_nodes: Vec<Arc<Value>>,
    deleted_daemonsets: Vec<Value>,
    deleted_policies: Vec<Value>,
    steps_clocks: bool,
    /// Most DaemonSets are replaced on deletion.
    pub(crate) favours_on_delete: bool,
    /// All pods of a DaemonSet may lose their readiness at once.
    pub(crate) loses_readiness: bool,
    /// Policies may have roll-outs analysed.
    pub(crate) analyses: bool,
    /// Nothing of other namespaces is touched.
    within: Option<&'static str>,
    /// How far the time of day is from where it would be, and the furthest that it was ahead.
    stepped_millis: i64,
    ahead_millis: i64,
}

impl Chaos {
    pub(crate) fn new(seed: u64, steps_clocks: bool) -> Chaos {
        Chaos {
            random: fastrand::Rng::with_seed(seed),
            version: 1,
            count: 0,
            deleted_nodes: Vec::new(),
            deleted_daemonsets: Vec::new(),
            deleted_policies: Vec::new(),
            steps_clocks,
            favours_on_delete: false,
            loses_readiness: false,
            analyses: false,
            within: None,
            stepped_millis: 0,
            ahead_millis: 0,
        }
    }

    /// The time until the next thing happens.
    pub(crate) fn pause(&mut self) -> Duration {
        let most = self.random.choice([200, 2_000, 10_000, 30_000]).unwrap_or(2_000);
        Duration::from_millis(self.random.u64(0..most))
    }

    /// A DaemonSet as people write them.
    pub(crate) fn daemonset(&mut self, namespace: &str, name: &str) -> NewDaemonSet {
        NewDaemonSet {
            strategy: self.strategy(),
            min_ready_seconds: self.random.choice([0, 0, 0, 5, 15]).unwrap_or(0),
            tolerates_all: self.random.u8(..4) == 0,
            names_by_node: self.random.u8(..4) == 0,
            ..NewDaemonSet::new(namespace, name)
        }
    }

    /// What a DaemonSet of a grown world has beside.
    pub(crate) fn trouble(&mut self, daemonset: &mut NewDaemonSet) {
        daemonset.hold = self
            .random
            .choice([Hold::None, Hold::None, Hold::HostPort, Hold::HostNetwork])
            .unwrap_or_default();
        if self.random.u8(..3) == 0 {
            daemonset.never_ready_on = Some(format!("node-{}", self.random.u8(1..5)));
        }
    }

    /// How many nodes the lists in a policy's status name.
    pub(crate) fn status_names(&mut self) -> usize {
        self.random.choice([0, 1, 500]).unwrap_or(500)
    }

    fn strategy(&mut self) -> Value {
        if self.favours_on_delete && self.random.u8(..4) > 0 {
            return json!({"type": "OnDelete"});
        }
        match self.random.u8(..8) {
            0 => json!({"type": "OnDelete"}),
            1 => rolling(json!(0), json!(1)),
            2 => rolling(json!(0), json!("50%")),
            3 => rolling(json!("50%"), json!(0)),
            4 => rolling(json!(2), json!(0)),
            _ => rolling(json!(1), json!(0)),
        }
    }

    fn one(&mut self, cluster: &Cluster, kind: Kind) -> Option<Key> {
        let keys: Vec<Key> = cluster.keys(kind).into_iter().filter(|key| self.reaches(key)).collect();
        self.random.choice(keys)
    }

    fn reaches(&self, key: &Key) -> bool {
        !key.kind.is_namespaced() || self.within.is_none_or(|namespace| key.namespace == namespace)
    }

    /// A pod of some DaemonSet.
    fn daemon(&mut self, cluster: &Cluster) -> Option<(Key, Arc<Value>)> {
        let keys = cluster.keys(Kind::Pod).into_iter().filter(|key| self.reaches(key));
        let pods = keys.filter_map(|key| cluster.get(&key).map(|pod| (key, pod)));
        let daemons: Vec<_> = pods
            .filter(|(_, pod)| controller_uid(pod).is_some_and(|(kind, _)| kind == "DaemonSet"))
            .collect();
        self.random.choice(daemons)
    }

    /// Does one thing.
    pub(crate) fn act(&mut self, cluster: &mut Cluster) -> Option<()> {
        if lock(&cluster.shared).serves_policies && self.random.u8(..4) == 0 {
            return self.steer(cluster);
        }
        if self.loses_readiness && self.random.u8(..20) == 0 {
            return self.unready_fleet(cluster);
        }
        match self.random.u8(..26) {
            0..4 => self.edit_template(cluster),
            4 => self.edit_strategy(cluster),
            5 => self.edit_placement(cluster),
            6 => self.label_node(cluster),
            7 => self.taint_node(cluster),
            8 => self.silence_node(cluster),
            9 => self.delete_node(cluster),
            10 => self.return_node(cluster),
            11 => self.end_pod(cluster),
            12 => self.delete_pod(cluster),
            13 => self.relabel_pod(cluster),
            14 => self.create_orphan(cluster),
            15 => self.unready_pod(cluster),
            16 => self.delete_daemonset(cluster),
            17 => self.return_daemonset(cluster),
            18 => self.touch_revision(cluster),
            19 => self.step_clock(cluster),
            20 => self.compact(cluster),
            21 => self.return_silent_node(cluster),
            22..24 => self.crash(cluster),
            _ => self.hold(cluster),
        }
    }

    fn edit_template(&mut self, cluster: &Cluster) -> Option<()> {
        let key = self.one(cluster, Kind::DaemonSet)?;
        let version = match self.random.u8(..8) {
            0..2 => self.random.u32(1..=self.version),
            _ => {
                self.version += 1;
                self.version
            }
        };
        let image = if self.random.u8(..10) == 0 { BAD_IMAGE.to_owned() } else { image(version) };
        set_image(cluster, &key, &image);
        Some(())
    }

    fn edit_strategy(&mut self, cluster: &Cluster) -> Option<()> {
        let key = self.one(cluster, Kind::DaemonSet)?;
        let spec = match self.random.u8(..3) {
            0 => json!({"minReadySeconds": self.random.choice([0, 5, 15])}),
            1 => json!({"revisionHistoryLimit": self.random.u8(..3)}),
            _ => {
                let mut strategy = self.strategy();
                if strategy["rollingUpdate"].is_null() {
                    strategy["rollingUpdate"] = Value::Null;
                }
                json!({"updateStrategy": strategy})
            }
        };
        cluster.patch(&key, &json!({"spec": spec}));
        Some(())
    }

    fn edit_placement(&mut self, cluster: &Cluster) -> Option<()> {
        let key = self.one(cluster, Kind::DaemonSet)?;
        let spec = match self.random.u8(..4) {
            0 => json!({"nodeSelector": {"pool": "a"}}),
            1 => json!({"nodeSelector": null}),
            2 => json!({"tolerations": [{"key": "dedicated", "operator": "Exists"}]}),
            _ => json!({"tolerations": null}),
        };
        cluster.patch(&key, &json!({"spec": {"template": {"spec": spec}}}));
        Some(())
    }

    fn label_node(&mut self, cluster: &Cluster) -> Option<()> {
        let key = self.one(cluster, Kind::Node)?;
        let pool = self.random.choice([json!("a"), json!("a"), json!("b"), Value::Null])?;
        cluster.patch(&key, &json!({"metadata": {"labels": {"pool": pool}}}));
        Some(())
    }

    fn taint_node(&mut self, cluster: &Cluster) -> Option<()> {
        let key = self.one(cluster, Kind::Node)?;
        let node = cluster.get(&key)?;
        let mut taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        let before = taints.len();
        taints.retain(|taint| taint["key"] != "dedicated");
        if taints.len() == before {
            let effect = self.random.choice(["NoSchedule", "NoExecute", "PreferNoSchedule"])?;
            taints.push(json!({"key": "dedicated", "value": "x", "effect": effect}));
        }
        cluster.patch(&key, &json!({"spec": {"taints": taints}}));
        Some(())
    }

    fn silence_node(&mut self, cluster: &Cluster) -> Option<()> {
        let key = self.one(cluster, Kind::Node)?;
        cluster.patch(&key, &json!({"metadata": {"annotations": {SILENT: "true"}}}));
        Some(())
    }

    fn return_silent_node(&mut self, cluster: &Cluster) -> Option<()> {
        let silent: Vec<Key> =
            cluster.keys(Kind::Node).into_iter().filter(|key| is_silent(cluster, key)).collect();
        let key = self.random.choice(silent)?;
        cluster.patch(&key, &json!({"metadata": {"annotations": {SILENT: null}}}));
        Some(())
    }

    fn delete_node(&mut self, cluster: &Cluster) -> Option<()> {
        let key = self.one(cluster, Kind::Node)?;
        let node = cluster.get(&key)?;
        cluster.delete(&key, &json!({}));
        self.deleted_nodes.push(node);
        Some(())
    }

    fn return_node(&mut self, cluster: &Cluster) -> Option<()> {
        let node = self.deleted_nodes.pop()?;
        let mut node = (*node).clone();
        node["metadata"] = json!({"name": name(&node), "labels": node["metadata"]["labels"]});
        node["spec"]["taints"] = json!([]);
        cluster.create(Kind::Node, &node);
        Some(())
    }

    fn end_pod(&mut self, cluster: &Cluster) -> Option<()> {
        let (key, pod) = self.daemon(cluster)?;
        is_bound_to(&pod)?;
        let phase = self.random.choice(["Failed", "Failed", "Succeeded"])?;
        cluster.patch_status(&key, &json!({"status": {"phase": phase}}));
        Some(())
    }

    fn delete_pod(&mut self, cluster: &Cluster) -> Option<()> {
        let (key, _) = self.daemon(cluster)?;
        cluster.delete(&key, &json!({}));
        Some(())
    }

    fn relabel_pod(&mut self, cluster: &Cluster) -> Option<()> {
        let key = self.one(cluster, Kind::Pod)?;
        let pod = cluster.get(&key)?;
        let other = match label(&pod, "app") {
            Some("released") => key.name.split('-').next().unwrap_or_default(),
            _ => "released",
        };
        cluster.patch(&key, &json!({"metadata": {"labels": {"app": other}}}));
        Some(())
    }

    fn create_orphan(&mut self, cluster: &Cluster) -> Option<()> {
        let (daemonset, node) = (self.one(cluster, Kind::DaemonSet)?, self.one(cluster, Kind::Node)?);
        self.count += 1;
        let app = if self.random.u8(..3) == 0 { "bystander" } else { daemonset.name.as_str() };
        let pod_name = format!("orphan-{}", self.count);
        let mut pod = orphan(&daemonset.namespace, &pod_name, &node.name, app, &image(self.version));
        if app == "bystander" && self.random.bool() {
            // Somebody's: of a kind that nobody here knows.
            pod["metadata"]["ownerReferences"] = json!([{
                "apiVersion": "example.com/v1", "kind": "Robot", "name": "r", "controller": true,
                "uid": format!("00000000-0000-4000-9000-{:012}", self.count),
            }]);
            pod["metadata"]["labels"]["app"] = daemonset.name.into();
        }
        cluster.create(Kind::Pod, &pod);
        Some(())
    }

    fn unready_pod(&mut self, cluster: &Cluster) -> Option<()> {
        let (key, pod) = self.daemon(cluster)?;
        is_live(&pod).then_some(())?;
        let value = if self.random.bool() { json!("true") } else { Value::Null };
        cluster.patch(&key, &json!({"metadata": {"annotations": {NEVER_READY: value}}}));
        Some(())
    }

    /// What all pods of a DaemonSet need fails, or works again.
    fn unready_fleet(&mut self, cluster: &Cluster) -> Option<()> {
        let daemonset = self.one(cluster, Kind::DaemonSet)?;
        let value = if self.random.bool() { json!("true") } else { Value::Null };
        for key in cluster.keys(Kind::Pod).into_iter().filter(|key| key.namespace == daemonset.namespace) {
            if cluster
                .get(&key)
                .is_some_and(|pod| is_live(&pod) && label(&pod, "app") == Some(&daemonset.name))
            {
                cluster.patch(&key, &json!({"metadata": {"annotations": {NEVER_READY: value}}}));
            }
        }
        Some(())
    }

    fn delete_daemonset(&mut self, cluster: &Cluster) -> Option<()> {
        let key = self.one(cluster, Kind::DaemonSet)?;
        let object = cluster.get(&key)?;
        let policy = self.random.choice(["Background", "Orphan", "Foreground"])?;
        cluster.delete(&key, &json!({"propagationPolicy": policy}));
        let mut object = (*object).clone();
        let labels = &object["metadata"]["labels"];
        let mut metadata = json!({"name": name(&object), "namespace": namespace(&object), "labels": labels});
        if let Some(names) = object["metadata"]["annotations"].get("everynode.dev/pod-names") {
            metadata["annotations"] = json!({"everynode.dev/pod-names": names});
        }
        object["metadata"] = metadata;
        self.deleted_daemonsets.push(object);
        Some(())
    }

    fn return_daemonset(&mut self, cluster: &Cluster) -> Option<()> {
        let object = self.deleted_daemonsets.pop()?;
        if !cluster.create(Kind::DaemonSet, &object) {
            self.deleted_daemonsets.push(object);
        }
        Some(())
    }

    fn touch_revision(&mut self, cluster: &Cluster) -> Option<()> {
        let key = self.one(cluster, Kind::Revision)?;
        let revision = cluster.get(&key)?;
        match self.random.u8(..3) {
            0 => {
                cluster.delete(&key, &json!({}));
            }
            1 => {
                cluster.patch(
                    &key,
                    &json!({"metadata": {"labels": {"touched": self.random.u8(..).to_string()}}}),
                );
            }
            _ => {
                // The conformance test of revisions does this.
                self.count += 1;
                let mut twin = (*revision).clone();
                let owners = twin["metadata"]["ownerReferences"].clone();
                let mut labels = twin["metadata"]["labels"].clone();
                labels["controller-revision-hash"] = format!("twin{}", self.count).into();
                let twin_name = format!("{TWIN}{}", self.count);
                twin["metadata"] = json!({"name": twin_name, "namespace": key.namespace, "labels": labels, "ownerReferences": owners});
                twin["revision"] = (revision["revision"].as_i64().unwrap_or(0).saturating_add(1)).into();
                cluster.create(Kind::Revision, &twin);
            }
        }
        Some(())
    }

    fn step_clock(&mut self, cluster: &Cluster) -> Option<()> {
        self.steps_clocks.then_some(())?;
        let millis = self.random.choice([-3_600_000, -30_000, -1_000, 1_000, 30_000, 3_600_000])?;
        self.stepped_millis += millis;
        self.ahead_millis = self.ahead_millis.max(self.stepped_millis);
        let mut world = lock(&cluster.shared);
        world.clock.step(millis);
        world.note(format_args!("the clock steps by {millis} ms"));
        Some(())
    }

    fn compact(&mut self, cluster: &Cluster) -> Option<()> {
        let mut world = lock(&cluster.shared);
        let version = world.store.version();
        world.store.compact(version);
        world.note(format_args!("versions before {version} are forgotten"));
        Some(())
    }

    fn crash(&mut self, cluster: &mut Cluster) -> Option<()> {
        let shared = cluster.shared.clone();
        let replica = self.random.choice(cluster.replicas.iter_mut())?;
        match replica.is_running() {
            true => replica.crash(&shared),
            false => replica.start(&shared),
        }
        // Most come back at once.
        if self.random.u8(..3) > 0 {
            replica.start(&shared);
        }
        Some(())
    }

    fn hold(&mut self, cluster: &mut Cluster) -> Option<()> {
        let (shared, held) = (cluster.shared.clone(), self.random.bool());
        let replica = self.random.choice(cluster.replicas.iter())?;
        replica.hold(&shared, held);
        Some(())
    }

    /// Puts right what no controller can.
    pub(crate) fn heal(&mut self, cluster: &mut Cluster) {
        // What became ready in a future that is past now would count as available only when it comes again.
        lock(&cluster.shared).clock.step(self.ahead_millis - self.stepped_millis);
        for key in cluster.keys(Kind::Node) {
            if is_silent(cluster, &key) {
                cluster.patch(&key, &json!({"metadata": {"annotations": {SILENT: null}}}));
            }
        }
        for key in cluster.keys(Kind::Node) {
            // A pod that was made before such a taint, and is not bound, holds a part of the budget for ever (F7); and
            // under OnDelete nobody replaces one that was adopted and does not tolerate what the template does.
            let node = cluster.get(&key);
            let taints =
                node.as_ref().and_then(|node| node["spec"]["taints"].as_array()).into_iter().flatten();
            let others: Vec<&Value> = taints
                .filter(|taint| taint["key"] != "dedicated" || taint["effect"] == "PreferNoSchedule")
                .collect();
            cluster.patch(&key, &json!({"spec": {"taints": others}}));
        }
        while self.random.bool() && self.return_node(cluster).is_some() {}
        while !self.deleted_daemonsets.is_empty() && self.random.bool() {
            self.return_daemonset(cluster);
            if self.random.bool() {
                break;
            }
        }
        make_pods_well(cluster);
        for key in cluster.keys(Kind::DaemonSet) {
            if cluster
                .get(&key)
                .is_some_and(|one| !one["spec"]["template"]["metadata"]["annotations"].is_null())
            {
                let well = json!({"metadata": {"annotations": null}});
                cluster.patch(&key, &json!({"spec": {"template": well}}));
                // Under OnDelete nobody would replace a pod that is made of the old template yet.
                if !lock(&cluster.shared).serves_policies {
                    cluster.patch(&key, &json!({"spec": {"updateStrategy": rolling(json!(1), json!(0))}}));
                }
            }
            // Without a policy a second pod would wait for the port of the first for ever.
            let holds = |one: &Value| !one["spec"]["template"]["spec"]["containers"][0]["ports"].is_null();
            if cluster.get(&key).is_some_and(|one| holds(&one)) {
                cluster.patch(&key, &json!({"spec": {"updateStrategy": rolling(json!(1), json!(0))}}));
            }
        }
        for key in cluster.keys(Kind::DaemonSet) {
            self.version += 1;
            let bad = cluster.get(&key).is_some_and(|daemonset| {
                crate::naive::image(&daemonset["spec"]["template"]["spec"]) == BAD_IMAGE
            });
            if bad {
                set_image(cluster, &key, &image(self.version));
                // Under OnDelete nobody would replace a pod that is made of the old template yet.
                cluster.patch(&key, &json!({"spec": {"updateStrategy": rolling(json!(1), json!(0))}}));
            }
        }
        self.delete_stuck_pods(cluster);
        let shared = cluster.shared.clone();
        for replica in &mut cluster.replicas {
            replica.hold(&shared, false);
            replica.start(&shared);
        }
    }

    /// Pods that a controller which was behind has made of a template that was put right meanwhile: under OnDelete
    /// nobody replaces them.
    pub(crate) fn delete_stuck_pods_under_on_delete(&self, cluster: &Cluster) {
        let daemonsets = cluster.keys(Kind::DaemonSet).into_iter().filter_map(|key| cluster.get(&key));
        let kept: Vec<Arc<Value>> =
            daemonsets.filter(|one| one["spec"]["updateStrategy"]["type"] == "OnDelete").collect();
        for key in cluster.keys(Kind::Pod) {
            let Some(pod) = cluster.get(&key) else { continue };
            let owner = controller_uid(&pod);
            let is_kept = owner.is_some_and(|(_, owner)| kept.iter().any(|one| uid(one) == owner));
            if is_kept && crate::naive::image(&pod["spec"]) == BAD_IMAGE {
                cluster.delete(&key, &json!({"preconditions": {"uid": uid(&pod)}}));
            }
        }
    }

    /// Pods that cannot start, and that nobody would replace: OnDelete, or of nobody.
    fn delete_stuck_pods(&mut self, cluster: &Cluster) {
        for key in cluster.keys(Kind::Pod) {
            let Some(pod) = cluster.get(&key) else { continue };
            // Released pods may have the names of pods that are to be made.
            let is_released = label(&pod, "app") == Some("released");
            if is_released || crate::naive::image(&pod["spec"]) == BAD_IMAGE {
                cluster.delete(&key, &json!({"preconditions": {"uid": uid(&pod)}}));
            }
        }
    }
}

fn is_silent(cluster: &Cluster, key: &Key) -> bool {
    cluster.get(key).is_some_and(|node| node["metadata"]["annotations"].get(SILENT).is_some())
}

/// No pod is kept from becoming ready.
fn make_pods_well(cluster: &Cluster) {
    for key in cluster.keys(Kind::Pod) {
        cluster.patch(&key, &json!({"metadata": {"annotations": {NEVER_READY: null}}}));
    }
}

/// Changes the version of a template.
pub(crate) fn set_image(cluster: &Cluster, key: &Key, image: &str) -> bool {
    let old = cluster.get(key).map(|one| one["spec"]["template"]["spec"]["containers"][0]["ports"].clone());
    let mut containers = json!([{"name": "daemon", "image": image, "resources": {}}]);
    if let Some(ports) = old.filter(|ports| !ports.is_null()) {
        containers[0]["ports"] = ports;
    }
    cluster.patch(key, &json!({"spec": {"template": {"spec": {"containers": containers}}}}))
}
