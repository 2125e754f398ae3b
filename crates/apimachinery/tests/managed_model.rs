//! Several managers write one object in random ways, here and in a model that knows only leaves: both end with the same
//! object, and everybody has the same fields of it.
//!
//! `EVERYNODE_SEEDS` sets how many sequences (default 400), `EVERYNODE_SEED` the first one.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panic, and says how to repeat it"
)]

use std::collections::{BTreeMap, BTreeSet};

use everynode_apimachinery::managed::{
    ApplyError, Context, FieldSet, ManagedFields, Operation, PathElement, Reset, Versions, View, fields_of,
};
use everynode_apimachinery::resource::Model;
use everynode_model::Value;
use everynode_testkit::{number, set_number};
use serde_json::json;

const VERSION: &str = "model.io/v1";

/// One version, and no other.
struct One(Model);

impl Versions for One {
    fn view(&self, version: &str) -> Option<View<'_>> {
        (version == VERSION).then(|| View::of(&self.0))
    }

    fn convert(&self, object: &Value, to: &str) -> Option<Value> {
        (to == VERSION).then(|| object.clone())
    }

    fn nothing(&self) -> Value {
        json!({"apiVersion": VERSION, "kind": "Thing"})
    }
}

/// A definition with a field of each form.
fn versions() -> One {
    let text = json!({"type": "string"});
    let part =
        json!({"type": "object", "required": ["name"], "properties": {"name": text, "a": text, "b": text}});
    let spec = json!({"type": "object", "properties": {
        "text": text,
        "tags": {"type": "array", "items": text, "x-kubernetes-list-type": "set"},
        "parts": {"type": "array", "items": part, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        "plain": {"type": "array", "items": text},
        "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": text}},
        "box": {"type": "object", "properties": {"a": text, "b": text}},
        "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": text, "b": text}}},
    }});
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    let definition = json!({
        "spec": {"group": "model.io", "scope": "Namespaced", "versions": [
            {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}},
        ]},
        "status": {"acceptedNames": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}},
    });
    let resource = everynode_apimachinery::definition::resources(&definition).unwrap().remove(0);
    One(resource.model().unwrap())
}

type Path = Vec<PathElement>;
/// The leaves of an object with their values, and its elements with none.
type Leaves = BTreeMap<Path, Option<String>>;

/// What the model knows: leaves, and who has which.
#[derive(Default, Clone, Debug)]
struct Naive {
    leaves: Leaves,
    owners: BTreeMap<(String, bool), BTreeSet<Path>>,
}

impl Naive {
    /// Whether a path ends at an element of a list or map, with which everything in it goes.
    fn drop_path(leaves: &mut Leaves, path: &Path) {
        leaves.retain(|other, _| !other.starts_with(path));
    }

    fn lose(&mut self, gone: &dyn Fn(&Path) -> bool, but: Option<&(String, bool)>) {
        for (owner, paths) in &mut self.owners {
            if Some(owner) != but {
                paths.retain(|path| !gone(path));
            }
        }
        self.owners.retain(|_, paths| !paths.is_empty());
    }

    fn apply(&mut self, manager: &str, config: &Leaves, force: bool) -> Result<(), BTreeSet<(String, Path)>> {
        let own = (manager.to_owned(), true);
        let last = self.owners.get(&own).cloned().unwrap_or_default();
        let mut after = self.leaves.clone();
        after.extend(config.clone());
        let others: BTreeSet<&Path> =
            self.owners.iter().filter(|(owner, _)| **owner != own).flat_map(|(_, paths)| paths).collect();
        for path in last.iter().filter(|path| !config.contains_key(*path) && !others.contains(path)) {
            Naive::drop_path(&mut after, path);
        }
        let changed = |path: &Path| after.get(path).is_some_and(|value| self.leaves.get(path) != Some(value));
        let conflicts: BTreeSet<(String, Path)> = self
            .owners
            .iter()
            .filter(|(owner, _)| **owner != own)
            .flat_map(|(owner, paths)| paths.iter().map(|path| (owner.0.clone(), path.clone())))
            .filter(|(_, path)| changed(path))
            .collect();
        if !conflicts.is_empty() && !force {
            return Err(conflicts);
        }
        let touched: BTreeSet<Path> = self
            .leaves
            .keys()
            .chain(after.keys())
            .filter(|path| self.leaves.get(*path) != after.get(*path))
            .cloned()
            .collect();
        self.owners.insert(own.clone(), config.keys().cloned().collect());
        self.lose(&|path| touched.contains(path), Some(&own));
        self.leaves = after;
        Ok(())
    }

    fn update(&mut self, manager: &str, new: &Leaves) {
        let touched: BTreeSet<Path> = self
            .leaves
            .keys()
            .chain(new.keys())
            .filter(|path| self.leaves.get(*path) != new.get(*path))
            .cloned()
            .collect();
        self.lose(&|path| touched.contains(path), None);
        let taken = touched.into_iter().filter(|path| new.contains_key(path));
        self.owners.entry((manager.to_owned(), false)).or_default().extend(taken);
        self.owners.retain(|_, paths| !paths.is_empty());
        self.leaves = new.clone();
    }
}

/// The value at a path, if it is a leaf or an element.
fn leaves_of(versions: &One, object: &Value) -> Leaves {
    let view = versions.view(VERSION).unwrap();
    let mut leaves = Leaves::new();
    fields_of(view, object).each(&mut |path| {
        if is_unit(path) {
            leaves.insert(path.to_vec(), value_at(object, path));
        }
    });
    leaves
}

/// Whether a path is one that the model knows: everything but the objects that the schema names.
fn is_unit(path: &[PathElement]) -> bool {
    let names: Vec<&str> = path.iter().filter_map(PathElement::field_name).collect();
    names.first() == Some(&"spec")
        && !matches!(names.as_slice(), ["spec"] | ["spec", "box" | "map" | "tags"])
        && !(names == ["spec", "parts"] && path.len() == 2)
}

fn value_at(object: &Value, path: &[PathElement]) -> Option<String> {
    let mut value = object;
    for element in path {
        value = match element {
            PathElement::Field(name) => value.get(&**name)?,
            PathElement::Key(keys) => {
                let (_, name) = keys.first()?;
                let is_it = |item: &&Value| format!("{}", item["name"]) == format!("{name}");
                value.as_array()?.iter().find(is_it)?
            }
            _ => return None,
        };
    }
    // Elements with parts are there or not; the rest has a value.
    let has_parts = path.last().is_some_and(|last| matches!(last, PathElement::Key(_)))
        || (path.len() == 3 && path[1].field_name() == Some("map"));
    (!has_parts).then(|| value.to_string())
}

fn some(random: &mut fastrand::Rng, words: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    random.shuffle(&mut words);
    words.truncate(random.usize(1..=words.len()));
    words
}

fn pair(random: &mut fastrand::Rng) -> Value {
    let names = some(random, &["a", "b"]);
    names
        .into_iter()
        .map(|name| (name, Value::from(random.u8(1..3).to_string())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn object(random: &mut fastrand::Rng) -> Value {
    let mut spec = serde_json::Map::new();
    if random.bool() {
        spec.insert("text".into(), random.u8(1..3).to_string().into());
    }
    if random.bool() {
        spec.insert("tags".into(), json!(some(random, &["x", "y", "z"])));
    }
    if random.bool() {
        let parts = some(random, &["p", "q"]).into_iter().map(|name| {
            let mut part = if random.bool() { pair(random) } else { json!({}) };
            part["name"] = name.into();
            part
        });
        spec.insert("parts".into(), parts.collect::<Vec<_>>().into());
    }
    if random.u8(0..4) == 0 {
        spec.insert("plain".into(), json!(some(random, &["1", "2"])));
    }
    if random.u8(0..4) == 0 {
        spec.insert("whole".into(), json!({"a": random.u8(1..3).to_string()}));
    }
    if random.bool() {
        spec.insert("box".into(), pair(random));
    }
    if random.bool() {
        let keys = some(random, &["k", "l"]).into_iter().map(|key| (key, pair(random)));
        spec.insert("map".into(), keys.collect::<serde_json::Map<_, _>>().into());
    }
    json!({"apiVersion": VERSION, "kind": "Thing", "metadata": {"name": "t"}, "spec": spec})
}

fn owners_of(managed: &ManagedFields) -> BTreeMap<(String, bool), BTreeSet<Path>> {
    let mut owners = BTreeMap::new();
    for entry in managed.entries() {
        let mut paths = BTreeSet::new();
        let set: &FieldSet = entry.set();
        set.each(&mut |path| {
            if is_unit(path) {
                paths.insert(path.to_vec());
            }
        });
        if !paths.is_empty() {
            let is_applied = entry.manager.operation == Operation::Apply;
            owners.insert((entry.manager.name.to_string(), is_applied), paths);
        }
    }
    owners
}

fn sequence(versions: &One, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let reset = Reset::NOTHING;
    let (mut live, mut managed, mut naive) = (versions.nothing(), ManagedFields::default(), Naive::default());
    let mut is_new = true;
    for step in 0..12 {
        let manager = ["a", "b", "c"][random.usize(0..3)];
        let context =
            Context { versions, version: VERSION, manager, subresource: "", reset: &reset, now: step };
        let sent = object(&mut random);
        let said = leaves_of(versions, &sent);
        let before = (live.clone(), naive.clone());
        // Nobody has anything: what is there has had no manager, and gets one when somebody applies.
        let is_unknown = managed.is_empty() && !is_new;
        if random.u8(0..4) == 0 {
            // Who writes the whole object keeps some of what is there.
            let new = if random.bool() { sent } else { laid_over(versions, &live, &sent) };
            naive.update(manager, &leaves_of(versions, &new));
            if is_unknown {
                naive.owners.clear();
            }
            managed = context.update(&live, &new, managed, is_new);
            live = new;
        } else {
            let force = random.bool();
            if is_unknown && !naive.leaves.is_empty() {
                let all = naive.leaves.keys().cloned().collect();
                naive.owners.insert(("before-first-apply".into(), false), all);
            }
            match (context.apply(&live, &sent, managed.clone(), force), naive.apply(manager, &said, force)) {
                (Ok(applied), Ok(())) => {
                    live = applied.object;
                    managed = applied.managed;
                }
                (Err(ApplyError::Conflicts(ours)), Err(theirs)) => {
                    let ours: BTreeSet<Path> = ours.all().iter().map(|one| one.path.clone()).collect();
                    let theirs: BTreeSet<Path> = theirs.into_iter().map(|(_, path)| path).collect();
                    assert_eq!(ours, theirs, "step {step}: conflicts of {manager}");
                    naive = before.1.clone();
                }
                (ours, theirs) => panic!("step {step}: {ours:?} {theirs:?}"),
            }
        }
        is_new = false;
        let text = managed.text();
        assert_eq!(
            ManagedFields::stored(&text).text(),
            text,
            "step {step}: entries are read as they are written"
        );
        assert_eq!(
            (leaves_of(versions, &live), owners_of(&managed)),
            (naive.leaves.clone(), naive.owners.clone()),
            "step {step}: {manager}\n before {}\n {:?}",
            before.0,
            before.1.owners
        );
    }
}

fn laid_over(versions: &One, live: &Value, sent: &Value) -> Value {
    everynode_apimachinery::managed::merge(versions.view(VERSION).unwrap(), live, sent)
}

#[test]
fn managers_have_what_a_model_of_leaves_says() {
    let versions = versions();
    let count = number("EVERYNODE_SEEDS", 400);
    let first = set_number("EVERYNODE_SEED").unwrap_or_else(|| fastrand::u64(0..1 << 40));
    println!(
        "again: EVERYNODE_SEED={first} EVERYNODE_SEEDS={count} cargo test -p everynode-apimachinery --test managed_model"
    );
    for seed in first..first + count {
        println!("seed {seed}");
        sequence(&versions, seed);
    }
}
