//! A fleet whose pods take little memory, looked at one DaemonSet at a time: 100,000 nodes with 20 daemons each.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::Read;

use everynode_client::Client;
use everynode_engine::{Time, Uid};
use everynode_plan::file::FileError;
use everynode_plan::record::{Node, Pod, Revision, Text};
use everynode_plan::{CollectError, Fleet, Shared, Wanted};
use serde_json::Value;

use crate::book::Book;
use crate::look::{Apart, Look};
use crate::usage::{Sampled, Usage};

/// The fleet.
#[derive(Debug)]
pub struct LeanFleet {
    /// All but DaemonSets and pods; between two looks that is.
    fleet: Fleet,
    daemonsets: BTreeMap<String, Value>,
    book: Book,
    /// What nodes and pods hold together.
    shared: Shared,
    /// Nodes of a list that has not ended.
    listing: Option<Vec<Node>>,
}

impl LeanFleet {
    /// Reads a snapshot file.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn from_file(file: impl Read) -> Result<LeanFleet, FileError> {
        let mut book = Book::default();
        let fleet = Fleet::from_file_apart(file, Wanted::All("default"), &mut |pod| book.put(pod))?;
        Ok(LeanFleet::new(fleet, book))
    }

    /// Reads a cluster, as much of it as may be read.
    ///
    /// # Errors
    /// [`CollectError`]: not even DaemonSets could be read.
    pub async fn from_cluster(
        client: &Client,
        wanted: Wanted<'_>,
    ) -> Result<LeanFleet, CollectError<Infallible>> {
        let mut book = Book::default();
        let fleet = Fleet::from_part_of_cluster_apart(client, wanted, &mut |pod| book.put(pod)).await?;
        Ok(LeanFleet::new(fleet, book))
    }

    fn new(mut fleet: Fleet, book: Book) -> LeanFleet {
        let daemonsets = std::mem::take(&mut fleet.daemonsets);
        let daemonsets = daemonsets.into_iter().map(|value| (uid(&value), value)).collect();
        let mut shared = Shared::default();
        fleet.nodes.iter_mut().for_each(|node| shared.node(node));
        LeanFleet { fleet, daemonsets, book, shared, listing: None }
    }

    /// All but DaemonSets and pods.
    pub fn frame(&self) -> &Fleet {
        &self.fleet
    }

    /// The DaemonSets, by their uids.
    pub fn daemonsets(&self) -> &BTreeMap<String, Value> {
        &self.daemonsets
    }

    /// Looks at one DaemonSet; `None` when there is none of this uid. What other DaemonSets' pods take of their nodes
    /// counts, and costs: without anything to estimate, `with_others` is of no use.
    pub fn look_at<T>(
        &mut self,
        daemonset: &str,
        now: Time,
        with_others: bool,
        see: impl FnOnce(&Look<'_>) -> T,
    ) -> Option<T> {
        let value = self.daemonsets.get(daemonset)?.clone();
        Some(self.with_fleet(Some(value), now, with_others, |fleet| see(&Look::of(fleet, now))))
    }

    /// As [`LeanFleet::look_at`], in little memory: pods stay where they are, and nothing can be estimated.
    pub fn glance_at<T>(
        &mut self,
        daemonset: &str,
        now: Time,
        see: impl FnOnce(&Look<'_>) -> T,
    ) -> Option<T> {
        let value = self.daemonsets.get(daemonset)?.clone();
        self.fleet.taken_at_millis = now.0;
        self.fleet.pods = self.book.pods_of("");
        self.fleet.daemonsets.push(value);
        let own = Own { book: &self.book, daemonset };
        let seen = see(&Look::with(&self.fleet, Some(&own), now));
        self.fleet.daemonsets.clear();
        self.fleet.pods = Vec::new();
        Some(seen)
    }

    /// Hands over a fleet that has no DaemonSet but this one, if any, and its pods.
    pub fn with_fleet<T>(
        &mut self,
        daemonset: Option<Value>,
        now: Time,
        with_others: bool,
        see: impl FnOnce(&Fleet) -> T,
    ) -> T {
        let taken = self.fleet.taken.len();
        self.fleet.taken_at_millis = now.0;
        let own = daemonset.as_ref().map(uid).unwrap_or_default();
        self.fleet.pods = self.book.pods_of("");
        if !own.is_empty() {
            self.fleet.pods.extend(self.book.pods_of(&own));
        }
        if with_others {
            self.fleet.taken.extend(self.book.taken_by_others(&own));
        }
        self.fleet.daemonsets.extend(daemonset);
        let seen = see(&self.fleet);
        self.fleet.daemonsets.clear();
        self.fleet.taken.truncate(taken);
        self.fleet.pods = Vec::new();
        seen
    }

    /// Whether all pods of a DaemonSet are ready, alike and so many: then there is nothing to estimate.
    pub fn is_even(&self, daemonset: &str, count: usize) -> bool {
        self.book.is_even(daemonset, count)
    }

    /// How many pods are known one by one.
    pub fn pod_count(&self) -> usize {
        self.book.count()
    }

    /// Takes in what pods have used.
    pub fn watch_usage(&self, usage: &mut Usage, sampled: &Sampled<'_>) {
        let mut names = BTreeSet::new();
        for (uid, value) in &self.daemonsets {
            let text = |key: &str| value["metadata"][key].as_str().unwrap_or_default();
            let name = Text::from(format!("{}/{}", text("namespace"), text("name")));
            usage.watch(&name, self.book.pods_of(uid).iter(), sampled);
            names.insert(name);
        }
        usage.retain(&names);
    }

    /// The fleet as a whole.
    pub fn whole(&self, now_millis: i64) -> Fleet {
        let mut fleet = self.fleet.clone();
        fleet.taken_at_millis = now_millis;
        fleet.daemonsets = self.daemonsets.values().cloned().collect();
        fleet.pods = self.book.pods().collect();
        fleet
    }
}

/// The pods of one DaemonSet, where they are kept.
struct Own<'a> {
    book: &'a Book,
    daemonset: &'a str,
}

impl Apart for Own<'_> {
    fn each(&self, see: &mut dyn FnMut(&Pod)) {
        self.book.each_of(self.daemonset, see);
    }

    fn find(&self, uid: Uid) -> Option<Pod> {
        self.book.find(uid)
    }
}

/// What changes when objects do.
impl LeanFleet {
    /// A list of all nodes begins.
    pub(crate) fn begin_nodes(&mut self) {
        self.listing = Some(Vec::new());
    }

    /// It ended: what it has not shown is gone. True when something changed.
    pub(crate) fn end_nodes(&mut self) -> bool {
        let Some(mut listed) = self.listing.take() else { return false };
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        listed.dedup_by(|a, b| a.name == b.name);
        let is_same = listed == self.fleet.nodes;
        self.fleet.nodes = listed;
        !is_same
    }

    /// Takes a node in. True when something changed.
    pub(crate) fn put_node(&mut self, mut node: Node) -> bool {
        self.shared.node(&mut node);
        if let Some(listing) = &mut self.listing {
            listing.push(node);
            return false;
        }
        match self.fleet.nodes.binary_search_by(|one| one.name.cmp(&node.name)) {
            Ok(place) if self.fleet.nodes[place] == node => return false,
            Ok(place) => self.fleet.nodes[place] = node,
            Err(place) => self.fleet.nodes.insert(place, node),
        }
        true
    }

    /// Takes a node out.
    pub(crate) fn remove_node(&mut self, name: &str) -> bool {
        if let Some(listing) = &mut self.listing {
            listing.retain(|one| *one.name != *name);
        }
        let found = self.fleet.nodes.binary_search_by(|one| (*one.name).cmp(name));
        found.map(|place| self.fleet.nodes.remove(place)).is_ok()
    }

    /// A list of all pods begins.
    pub(crate) fn begin_pods(&mut self) {
        self.book.begin_list();
    }

    /// It ended: what it has not shown is gone. The uids of the DaemonSets whose pods are.
    pub(crate) fn end_pods(&mut self) -> Vec<Text> {
        self.book.end_list()
    }

    /// Takes a pod in.
    pub(crate) fn put_pod(&mut self, mut pod: Pod) {
        self.shared.pod(&mut pod);
        self.book.put(pod);
    }

    /// Takes a pod out, and tells the uid of its DaemonSet; no uid when nobody controlled it.
    pub(crate) fn remove_pod(&mut self, uid: &str) -> Option<Text> {
        self.book.remove(Uid::parse(uid)?)
    }

    /// Changes the DaemonSets, their revisions, or the policies.
    pub(crate) fn set_daemonsets<'a>(&mut self, values: impl Iterator<Item = &'a Value>) {
        self.daemonsets = values.map(|value| (uid(value), value.clone())).collect();
    }

    pub(crate) fn set_revisions<'a>(&mut self, revisions: impl Iterator<Item = &'a Revision>) {
        self.fleet.revisions = revisions.cloned().collect();
    }

    pub(crate) fn set_policies<'a>(
        &mut self,
        policies: impl Iterator<Item = &'a everynode_engine::policy::PolicyFact>,
    ) {
        self.fleet.policies = policies.cloned().collect();
        self.fleet.policies.sort_by(|a, b| a.key.cmp(&b.key));
    }
}

impl From<Fleet> for LeanFleet {
    fn from(mut fleet: Fleet) -> LeanFleet {
        let mut book = Book::default();
        std::mem::take(&mut fleet.pods).into_iter().for_each(|pod| book.put(pod));
        LeanFleet::new(fleet, book)
    }
}

fn uid(value: &Value) -> String {
    value["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}
