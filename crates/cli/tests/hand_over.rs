//! Running DaemonSets are handed from the built-in controller to everynode and back, one of them in the middle of a
//! roll-out: no pod restarts, and the roll-out ends.
//!
//! Needs a kube-controller-manager, named by `EVERYNODE_KUBE_CONTROLLER_MANAGER`, and says so where there is none.
//! `EVERYNODE_TEST_KUBECONFIG` aims it at another cluster.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it found"
)]

mod common;

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::time::Duration;

use common::bare::Bare;
use common::built_in::BuiltIn;
use common::{LIMIT, eventually, get};
use everynode_client::content_type;
use serde_json::{Value, json};

const NODES: usize = 8;
const ROLLING: &str = "rolling";
const NAMES: [&str; 3] = ["calm", "on-delete", ROLLING];
/// The name that kube-controller-manager has for it.
const DAEMONSETS: &str = "daemonset-controller";
/// How long nothing may change before a hand-over counts as one without consequences.
const CALM: Duration = Duration::from_secs(3);

struct Everynode(Child);

impl Everynode {
    fn start(bare: &Bare) -> Everynode {
        let mut command = bare.controller("hand-over");
        Everynode(command.arg("--leader-elect=false").stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Everynode {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn daemonsets_change_hands_both_ways_without_a_restart() {
    let Some(program) = BuiltIn::program() else { return };
    let bare = Bare::start(NODES).await;
    let built_in = BuiltIn::start(&program, &bare, DAEMONSETS);
    for name in NAMES {
        let strategy = match name {
            "on-delete" => json!({"type": "OnDelete"}),
            _ => json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}),
        };
        bare.create_daemonset(name, strategy).await;
    }
    for name in NAMES {
        bare.rolled_out(name, LIMIT).await;
    }
    // A second revision each, so that there is a history to take over.
    for name in ["calm", ROLLING] {
        bare.change_template(name, "2").await;
        bare.rolled_out(name, LIMIT).await;
    }

    let to_everynode =
        Handed { bare: &bare, revision: "3", from: "the built-in controller", to: "everynode" };
    let everynode = to_everynode.check(built_in, || Everynode::start(&bare)).await;
    let back = Handed { bare: &bare, revision: "4", from: "everynode", to: "the built-in controller" };
    let built_in = back.check(everynode, || BuiltIn::start(&program, &bare, DAEMONSETS)).await;
    drop(built_in);
    println!("handed over and back: no pod restarted but those of the roll-outs, which ended");
}

/// One hand-over.
struct Handed<'a> {
    bare: &'a Bare,
    revision: &'a str,
    from: &'a str,
    to: &'a str,
}

/// A live pod: the DaemonSet that it is of, its uid, and the hash of its revision.
type Pod = (String, String, String);
/// Name, number, hash and bytes of a revision.
type Revision = (String, i64, String, String);

impl Handed<'_> {
    /// Starts a roll-out under the first controller, stops that one in the middle, and starts the second.
    async fn check<A, B>(&self, first: A, second: impl FnOnce() -> B) -> B {
        let Handed { bare, revision, from, to } = self;
        bare.change_template(ROLLING, revision).await;
        eventually("the roll-out is in its middle", LIMIT, async || {
            let status = get(&bare.client, &bare.daemonsets(ROLLING)).await["status"].clone();
            let updated = status["updatedNumberScheduled"].as_u64().unwrap_or_default();
            let is_present = status["observedGeneration"].as_i64() >= Some(revision.parse().unwrap());
            if is_present && (2..NODES as u64 - 2).contains(&updated) {
                Ok(())
            } else {
                Err(status.to_string())
            }
        })
        .await;
        drop(first);
        let (before, revisions) = (self.pods().await, self.revisions().await);
        let newest =
            revisions.iter().filter(|one| one.0.starts_with(ROLLING)).max_by_key(|one| one.1).unwrap();
        let stays = |pod: &&Pod| pod.0 != ROLLING || pod.2 == newest.2;
        let staying: BTreeSet<Pod> = before.iter().filter(stays).cloned().collect();
        let updated = staying.len() - 2 * NODES;
        assert!(
            (1..NODES).contains(&updated),
            "{from}: the hand-over was not in the middle: {updated} updated"
        );
        let second = second();
        bare.rolled_out(ROLLING, LIMIT).await;
        self.looked_at().await;
        tokio::time::sleep(CALM).await;
        let restarted: Vec<Pod> = staying.difference(&self.pods().await).cloned().collect();
        assert!(restarted.is_empty(), "restarted from {from} to {to}: {restarted:?}");
        assert_eq!(self.revisions().await, revisions, "{to} has made or changed revisions");
        println!("from {from} to {to}: {} pods stayed, {} rolled", staying.len(), NODES - updated);
        second
    }

    async fn pods(&self) -> BTreeSet<Pod> {
        let pods = get(&self.bare.client, &self.bare.pods()).await;
        let live = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
        let row = |pod: &Value| {
            let metadata = &pod["metadata"];
            let texts = [
                &metadata["labels"]["app"],
                &metadata["uid"],
                &metadata["labels"]["controller-revision-hash"],
            ];
            texts.map(|text| text.as_str().unwrap().to_owned()).into()
        };
        pods["items"].as_array().unwrap().iter().filter(live).map(row).collect()
    }

    async fn revisions(&self) -> Vec<Revision> {
        let path = format!("/apis/apps/v1/namespaces/{}/controllerrevisions", self.bare.namespace);
        let list = get(&self.bare.client, &path).await;
        let row = |one: &Value| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let hash = text(&one["metadata"]["labels"]["controller-revision-hash"]);
            (text(&one["metadata"]["name"]), one["revision"].as_i64().unwrap(), hash, one["data"].to_string())
        };
        list["items"].as_array().unwrap().iter().map(row).collect()
    }

    /// Waits until the new controller has seen to all three: each gets an edit that changes no pod.
    async fn looked_at(&self) {
        let limit: i32 = 10 + self.revision.parse::<i32>().unwrap();
        let patch = json!({"spec": {"revisionHistoryLimit": limit}}).to_string();
        for name in NAMES {
            let path = self.bare.daemonsets(name);
            self.bare.client.patch(&path, content_type::MERGE_PATCH, patch.clone()).await.unwrap();
            self.bare.observed(name).await;
        }
    }
}
