use everynode_model::pod_resources::ResourceList;
use serde_json::json;

use super::*;
use crate::store::{Action, Draft, Expect, Facts, Limits, Memory, REVISION_PLACEHOLDER, TableSpec, Write};

const TABLES: Tables = Tables { pods: TableId(0), quotas: TableId(1) };
const NAMESPACES: [&str; 2] = ["a", "b"];

/// A store whose ring is short, and random writes to it.
struct World {
    store: Store,
    random: fastrand::Rng,
    now: i64,
}

impl World {
    fn new(seed: u64) -> World {
        let specs = ["//pods", "//resourcequotas"].map(|prefix| TableSpec { prefix: prefix.into() });
        let mut limits = Limits::default();
        limits.ring.events = 8;
        let store = Store::open(Box::new(Memory), specs.into(), limits, &|_, _| None).unwrap();
        World { store, random: fastrand::Rng::with_seed(seed), now: 1_000 }
    }

    /// Creates, changes or removes one pod or, now and then, one quota.
    async fn step(&mut self) {
        let is_quota = self.random.u8(..10) == 0;
        let (table, name) = match is_quota {
            true => (TABLES.quotas, format!("quota-{}", self.random.u8(..2))),
            false => (TABLES.pods, format!("pod-{}", self.random.u8(..6))),
        };
        let namespace = NAMESPACES[self.random.usize(..2)];
        let found = self.store.get(table, namespace, &name);
        let mut object = if is_quota { self.quota() } else { self.pod() };
        object["metadata"]["name"] = name.into();
        object["metadata"]["namespace"] = namespace.into();
        match found.is_some() && self.random.u8(..3) == 0 {
            true => self.write(table, &object, Action::Remove(None)).await,
            false => self.put(table, object).await,
        }
        self.now += self.random.i64(0..3);
    }

    /// Stores an object, in namespace `a` where it names none.
    async fn put(&self, table: TableId, mut object: Value) {
        object["metadata"]["resourceVersion"] = REVISION_PLACEHOLDER.into();
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or("a").into();
        let name = meta::text(&object, "name").into();
        let facts = Facts { namespace, name, ..Facts::default() };
        let draft = Draft::new(serde_json::to_vec(&object).unwrap(), facts).unwrap();
        self.write(table, &object, Action::Put(draft)).await;
    }

    async fn write(&self, table: TableId, object: &Value, action: Action) {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or("a").to_owned();
        let name = meta::text(object, "name").to_owned();
        let found = self.store.get(table, &namespace, &name);
        let expect = found.map_or(Expect::Absent, |stored| Expect::Revision(stored.revision));
        self.store.write(Write { table, namespace, name, expect, action }).await.unwrap();
    }

    fn pod(&mut self) -> Value {
        let one_of =
            |random: &mut fastrand::Rng, texts: &[&str]| texts[random.usize(..texts.len())].to_owned();
        let amounts = ["100m", "1", "1Gi", "1G", "0"];
        let cpu = one_of(&mut self.random, &amounts);
        let memory = one_of(&mut self.random, &amounts);
        let mut pod = json!({
            "metadata": {},
            "spec": {
                "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}, "limits": {"memory": memory}}}],
                "priorityClassName": one_of(&mut self.random, &["", "critical"]),
            },
            "status": {
                "phase": one_of(&mut self.random, &["Running", "Running", "Failed"]),
                "qosClass": one_of(&mut self.random, &["BestEffort", "Burstable"]),
            },
        });
        if self.random.u8(..3) == 0 {
            pod["metadata"]["deletionTimestamp"] = everynode_model::time::format(self.now).into();
            pod["metadata"]["deletionGracePeriodSeconds"] = self.random.i64(0..6).into();
        }
        pod
    }

    fn quota(&mut self) -> Value {
        let all = ["pods", "count/pods", "cpu", "requests.cpu", "limits.memory", "services"];
        let mut hard = json!({});
        for name in all {
            if self.random.bool() {
                hard[name] = self.random.u8(..9).to_string().into();
            }
        }
        let scopes = match self.random.u8(..4) {
            0 => json!(["BestEffort"]),
            1 => json!(["PriorityClass"]),
            _ => json!([]),
        };
        let used = json!({"pods": self.random.u8(..9).to_string()});
        json!({"metadata": {}, "spec": {"hard": hard, "scopes": scopes}, "status": {"used": used}})
    }

    /// What is used of each quota of a namespace, by a look at everything.
    fn recount(&self, namespace: &str) -> Vec<ResourceList> {
        let objects = |table| -> Vec<Value> {
            let items = self.store.list(table, Some(namespace)).items;
            items.iter().map(|(_, stored)| stored.value()).collect()
        };
        let mut quotas = Quotas::new(&objects(TABLES.quotas));
        let charges: Vec<Charge> = objects(TABLES.pods).iter().map(|pod| Charge::of(pod, self.now)).collect();
        quotas.recount(&charges);
        self.used(namespace, &quotas)
    }

    fn used(&self, namespace: &str, quotas: &Quotas) -> Vec<ResourceList> {
        let items = self.store.list(TABLES.quotas, Some(namespace)).items;
        items.iter().map(|((_, name), _)| quotas.used(name)).collect()
    }
}

#[tokio::test]
async fn the_ledger_says_what_a_recount_says_whatever_happens_to_pods_and_quotas() {
    for seed in 0..10 {
        let mut world = World::new(seed);
        let mut ledger = Ledger::default();
        for step in 0..200 {
            // Sometimes more happens than the ring holds.
            let writes = if world.random.u8(..20) == 0 { 12 } else { 1 };
            for _ in 0..writes {
                world.step().await;
            }
            for namespace in NAMESPACES {
                let told = ledger.quotas(&world.store, TABLES, namespace, world.now);
                let told = told.map(|quotas| world.used(namespace, &quotas)).unwrap_or_default();
                assert_eq!(told, world.recount(namespace), "seed {seed}, step {step}, namespace {namespace}");
            }
        }
    }
}

#[tokio::test]
async fn the_ledger_keeps_nothing_of_pods_that_are_gone() {
    let mut world = World::new(1);
    let mut ledger = Ledger::default();
    for _ in 0..500 {
        world.step().await;
        let _ = ledger.quotas(&world.store, TABLES, "a", world.now);
    }
    let pods = world.store.list(TABLES.pods, Some("a")).items;
    let _ = ledger.quotas(&world.store, TABLES, "a", world.now).expect("there is a quota");
    let account = &ledger.accounts["a"];
    assert_eq!(account.charges.len(), pods.len());
    assert!(account.going.len() <= pods.len(), "{:?}", account.going);
    ledger.keep(&BTreeSet::new());
    assert!(ledger.accounts.is_empty());
}

/// A world with room for two pods in namespace `a`, and a pod for it.
async fn room_for_two() -> (World, Value) {
    let world = World::new(1);
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "2"}}});
    world.put(TABLES.quotas, quota).await;
    (world, json!({"metadata": {"name": "p", "uid": "first"}, "spec": {"containers": []}}))
}

#[tokio::test]
async fn a_pod_that_was_let_in_counts_once_whether_it_is_being_stored_stored_or_known_as_such() {
    let (world, pod) = room_for_two().await;
    let mut ledger = Ledger::default();
    let charge = Charge::of(&pod, world.now);
    let admit = |world: &World, ledger: &mut Ledger, uid| {
        ledger.admit(&world.store, TABLES, ("a", uid), charge.clone(), world.now)
    };
    let told = |world: &World, ledger: &mut Ledger| {
        ledger.quotas(&world.store, TABLES, "a", world.now).unwrap().used("q")["pods"].to_string()
    };
    assert_eq!(admit(&world, &mut ledger, "first"), Ok(true));
    assert_eq!(told(&world, &mut ledger), "0", "the status tells of pods that are stored");
    world.put(TABLES.pods, pod).await;
    assert_eq!(told(&world, &mut ledger), "1");
    assert_eq!(admit(&world, &mut ledger, "second"), Ok(true));
    ledger.settle("a", "first");
    // More happens elsewhere than the ring holds: everything is counted anew.
    for other in 0..9 {
        let name = format!("other-{other}");
        world.put(TABLES.pods, json!({"metadata": {"name": name, "namespace": "b"}})).await;
    }
    assert!(admit(&world, &mut ledger, "third").is_err());
    ledger.settle("a", "second");
    assert_eq!(admit(&world, &mut ledger, "third"), Ok(true));
}
