//! What people do with roll-out policies.

use everynode_model::Value;
use serde_json::json;

use super::{Chaos, make_pods_well, set_image};
use crate::cluster::{Cluster, NAMESPACES};
use crate::model::{Key, Kind, name, namespace};
use crate::objects::{image, policy};

impl Chaos {
    /// A policy as people write them, for one DaemonSet or for all of its namespace.
    pub(crate) fn policy(&mut self, namespace: &str, policy_name: &str, daemonset: &str) -> Value {
        let selector = match self.random.bool() {
            true => json!({"matchLabels": {"app": daemonset}}),
            false => json!({}),
        };
        let mut spec = self.conduct();
        spec["selector"] = selector;
        policy(namespace, policy_name, spec)
    }

    /// What a policy says of roll-outs. Null is for what it may have said before.
    fn conduct(&mut self) -> Value {
        let budget = self.random.choice([json!(1), json!(1), json!(2), json!("50%"), Value::Null]);
        let is_ordered = self.random.bool();
        let has_domains = self.random.u8(..4) == 0;
        let mut conduct = json!({
            "maxUnavailable": budget,
            "order": is_ordered.then(|| json!(["pool"])),
            "domain": has_domains.then(|| json!({"label": "pool", "maxUnavailable": self.random.u8(1..3)})),
            "waves": self.waves(),
            "firstRollout": if self.random.bool() { "Waves" } else { "AtOnce" },
            "failure": {
                "budget": self.random.u8(1..4),
                "action": if self.random.bool() { "Rollback" } else { "Pause" },
                "readyWithinSeconds": self.random.choice([45, 120, 600]),
            },
        });
        if self.analyses {
            conduct["analysis"] = self.analysis();
        }
        conduct
    }

    /// How roll-outs are judged, if they are. So few nodes tell little: half of the good ones may be called worse.
    fn analysis(&mut self) -> Value {
        if self.random.bool() {
            return Value::Null;
        }
        let signals =
            [json!([{"name": "cpu"}]), json!([{"name": "restarts"}, {"name": "memory"}]), Value::Null];
        json!({
            "mode": if self.random.bool() { "Halt" } else { "Observe" },
            "falseHalts": "50%",
            "beforeSeconds": self.random.choice([10, 60]),
            "settleSeconds": self.random.choice([0, 5]),
            "afterSeconds": self.random.choice([5, 20]),
            "strata": if self.random.u8(..4) == 0 { json!(["pool"]) } else { Value::Null },
            "baseline": {"nodes": self.random.u8(..3)},
            "undecided": self.random.choice(["Proceed", "Wait", "Halt"]),
            "maxBakeSeconds": 60,
            "signals": self.random.choice(signals),
        })
    }

    fn waves(&mut self) -> Value {
        let mut waves = Vec::new();
        for nodes in [json!(1), json!("50%"), json!("100%")] {
            if nodes == "100%" || self.random.bool() {
                waves.push(json!({"nodes": nodes}));
            }
        }
        if self.random.u8(..4) == 0 {
            waves.insert(0, json!({"nodeSelector": {"matchLabels": {"pool": "a"}}}));
        }
        for wave in &mut waves {
            wave["bakeSeconds"] = self.random.choice([0, 0, 5, 40]).into();
            wave["gate"] = if self.random.u8(..3) == 0 { "Manual" } else { "Automatic" }.into();
        }
        waves.into()
    }

    /// Does one thing with a policy.
    pub(super) fn steer(&mut self, cluster: &Cluster) -> Option<()> {
        match self.random.u8(..12) {
            0 => self.edit_policy(cluster),
            1 => self.delete_policy(cluster),
            2 | 3 => self.return_policy(cluster),
            4 => self.contest(cluster),
            5 | 6 => self.pause_policy(cluster),
            7 => self.command(cluster, "abort"),
            8 | 9 => self.command(cluster, "retry"),
            _ => self.command(cluster, "promote"),
        }
    }

    fn edit_policy(&mut self, cluster: &Cluster) -> Option<()> {
        let key = self.one(cluster, Kind::Policy)?;
        let spec = self.conduct();
        let fields: Vec<&str> = spec.as_object()?.keys().map(String::as_str).collect();
        let field = self.random.choice(fields)?;
        cluster.patch(&key, &json!({"spec": {field: spec[field]}}));
        Some(())
    }

    fn delete_policy(&mut self, cluster: &Cluster) -> Option<()> {
        let key = self.one(cluster, Kind::Policy)?;
        let old = cluster.get(&key)?;
        cluster.delete(&key, &json!({}));
        self.deleted_policies.push(policy(namespace(&old), name(&old), old["spec"].clone()));
        Some(())
    }

    fn return_policy(&mut self, cluster: &Cluster) -> Option<()> {
        let object = self.deleted_policies.pop()?;
        cluster.create(Kind::Policy, &object);
        Some(())
    }

    /// Another policy that may select the same DaemonSets.
    fn contest(&mut self, cluster: &Cluster) -> Option<()> {
        let key = self.one(cluster, Kind::DaemonSet)?;
        self.count += 1;
        let object = self.policy(&key.namespace, &format!("policy-{}", self.count), &key.name);
        cluster.create(Kind::Policy, &object);
        Some(())
    }

    fn pause_policy(&mut self, cluster: &Cluster) -> Option<()> {
        let key = self.one(cluster, Kind::Policy)?;
        let is_paused = cluster.get(&key)?["spec"]["paused"] == true;
        cluster.patch(&key, &json!({"spec": {"paused": !is_paused}}));
        Some(())
    }

    /// Says something about a roll-out, as the status of its policy tells how.
    fn command(&mut self, cluster: &Cluster, what: &str) -> Option<()> {
        let key = self.one(cluster, Kind::Policy)?;
        let policy = cluster.get(&key)?;
        let entries = policy["status"]["daemonSets"].as_object()?;
        let entry = self.random.choice(entries.values().collect::<Vec<_>>())?;
        let hash = entry["revision"].as_str()?;
        let attempt = entry["attempt"].as_i64().unwrap_or(0);
        let value = match what {
            "promote" => format!("{hash}/{}", entry["wave"]),
            "retry" => format!("{hash}/{}", attempt + 1),
            _ if attempt == 0 => hash.to_owned(),
            _ => format!("{hash}/{attempt}"),
        };
        cluster.patch(&key, &json!({"metadata": {"annotations": {format!("everynode.dev/{what}"): value}}}));
        Some(())
    }

    /// One policy for each namespace conducts one more roll-out, and nothing is wrong with that.
    pub(crate) fn roll_out_well(&mut self, cluster: &Cluster) {
        for namespace in NAMESPACES {
            let all: Vec<Key> =
                cluster.keys(Kind::Policy).into_iter().filter(|key| key.namespace == namespace).collect();
            for (number, key) in all.into_iter().enumerate() {
                if number > 0 {
                    cluster.delete(&key, &json!({}));
                } else {
                    cluster.patch(&key, &json!({"spec": {"paused": false}}));
                    // Half of the good roll-outs may be halted, and so few nodes are never shown to be no worse.
                    let is_analysed =
                        cluster.get(&key).is_some_and(|one| one["spec"]["analysis"].is_object());
                    if is_analysed {
                        cluster.patch(&key, &json!({"spec": {"analysis": {"mode": "Observe"}}}));
                    }
                }
            }
        }
        for key in cluster.keys(Kind::DaemonSet) {
            self.version += 1;
            // A template that was written back since all was healed may have what kept its pods from being ready.
            let well = json!({"metadata": {"annotations": null}});
            let is_well = cluster
                .get(&key)
                .is_none_or(|one| one["spec"]["template"]["metadata"]["annotations"].is_null());
            if !is_well {
                cluster.patch(&key, &json!({"spec": {"template": well}}));
            }
            set_image(cluster, &key, &image(self.version));
        }
        // Where no policy is left, nobody may replace a pod that was made of an earlier template since all was healed.
        make_pods_well(cluster);
        self.delete_stuck_pods(cluster);
    }
}
