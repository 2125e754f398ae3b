use serde_json::{Value, json};

use super::*;
use crate::core::Kind;

const NOW: Now = Now { millis: 0, wall_seconds: 0 };

/// A collector over a pretended API that holds `objects`, by uid, as `(source, object)`.
struct Bench {
    collector: Collector,
    objects: HashMap<String, (usize, Value)>,
    now: Now,
}

const POD: usize = 0;
const DAEMON_SET: usize = 1;

impl Bench {
    fn new() -> Bench {
        let kinds: Arc<[ResourceKind]> = Arc::new([
            ResourceKind::for_tests("v1", "Pod", "pods", true),
            ResourceKind::for_tests("apps/v1", "DaemonSet", "daemonsets", true),
        ]);
        let mut collector = Collector::new(kinds, fastrand::Rng::with_seed(1));
        for source in [POD, DAEMON_SET] {
            collector.observe(&Fact::Listed { source, kind: Kind::Other }, NOW);
        }
        Bench { collector, objects: HashMap::new(), now: NOW }
    }

    /// Creates or changes an object whose name is its uid.
    fn put(&mut self, source: usize, uid: &str, owners: &[(&str, bool)], more: Value) {
        let owners: Vec<Value> = owners
            .iter()
            .map(|(owner, blocks)| {
                json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": owner, "uid": owner, "blockOwnerDeletion": blocks})
            })
            .collect();
        let mut metadata = json!({
            "name": uid, "namespace": "ns", "uid": uid, "resourceVersion": "1", "ownerReferences": owners,
        });
        for (key, value) in more.as_object().unwrap() {
            metadata[key] = value.clone();
        }
        let object = json!({ "metadata": metadata });
        self.objects.insert(uid.to_owned(), (source, object.clone()));
        self.show(source, &object, true);
    }

    fn show(&mut self, source: usize, object: &Value, exists: bool) {
        let text = object.to_string();
        let object: AnyObject<'_> = serde_json::from_str(&text).unwrap();
        let metadata = &object.metadata;
        let fact = match exists {
            true => Fact::Object { source, metadata },
            false => Fact::ObjectGone(metadata),
        };
        self.collector.observe(&fact, self.now);
    }

    fn remove(&mut self, uid: &str) {
        let (source, object) = self.objects.remove(uid).unwrap();
        self.show(source, &object, false);
    }

    /// A page of all objects of a source: of two, so that there are several.
    fn page(&self, source: usize, query: &str) -> Value {
        let mut all: Vec<(&String, &Value)> =
            self.objects.iter().filter(|(_, (of, _))| *of == source).map(|(uid, (_, o))| (uid, o)).collect();
        all.sort_by_key(|(uid, _)| *uid);
        let start = query.split("continue=").nth(1).map_or(0, |token| token.parse().unwrap());
        let items: Vec<&Value> = all.iter().skip(start).take(2).map(|(_, object)| *object).collect();
        let token = if start + 2 < all.len() { (start + 2).to_string() } else { String::new() };
        json!({ "metadata": { "continue": token }, "items": items })
    }

    /// Carries out what the collector wants, and tells it in words, but for lists.
    fn settle(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(write) = self.collector.next_write(self.now) {
            if let Some((path, query)) = write.path.split_once('?') {
                let source = self.collector.kinds.iter().position(|kind| kind.path_in("ns") == path).unwrap();
                let page = self.page(source, query).to_string();
                self.collector.done(write.ticket, Ok(page.into()), self.now);
                continue;
            }
            let name = write.path.rsplit('/').next().unwrap().to_owned();
            let body: Value = serde_json::from_slice(&write.body).unwrap_or_default();
            let answer = match (write.method.as_str(), self.objects.get(&name)) {
                (_, None) => {
                    Err(Error::Api(Box::new(everynode_client::ApiStatus { code: 404, ..Default::default() })))
                }
                (_, Some((_, object))) => Ok(object.to_string().into()),
            };
            let existed = answer.is_ok();
            told.push(match write.method.as_str() {
                "GET" => format!("is {name} there"),
                "DELETE" => format!("delete {name} {}", body["propagationPolicy"].as_str().unwrap()),
                _ if is_unblocking(&body) => format!("{name} blocks nobody"),
                _ => match body["metadata"].get("finalizers") {
                    Some(finalizers) => format!("finalizers of {name} {finalizers}"),
                    None => format!("strip {} from {name}", stripped(&body)),
                },
            });
            if write.method == Method::PATCH && is_unblocking(&body) {
                self.unblock(&name);
            } else if write.method == Method::PATCH && body["metadata"].get("finalizers").is_none() {
                self.strip(&name, stripped(&body));
            }
            self.collector.done(write.ticket, answer, self.now);
            if existed && write.method == Method::DELETE {
                self.remove(&name);
            }
        }
        told.sort();
        told
    }

    fn strip(&mut self, uid: &str, owner: &str) {
        let Some((_, object)) = self.objects.get_mut(uid) else { return };
        if let Some(owners) = object["metadata"]["ownerReferences"].as_array_mut() {
            owners.retain(|reference| reference["uid"] != owner);
        }
    }

    /// As the API shows it when a patch has set `blockOwnerDeletion` to false.
    fn unblock(&mut self, uid: &str) {
        let Some((source, object)) = self.objects.get_mut(uid) else { return };
        object["metadata"]["resourceVersion"] = "2".into();
        for reference in object["metadata"]["ownerReferences"].as_array_mut().into_iter().flatten() {
            reference["blockOwnerDeletion"] = false.into();
        }
        let (source, object) = (*source, object.clone());
        self.show(source, &object, true);
    }

    /// Lets all pauses of the collector pass.
    fn pass(&mut self) {
        self.now.millis += 60_000;
        self.collector.wake(self.now);
    }
}

/// Whether a patch lets owners go without the object.
fn is_unblocking(body: &Value) -> bool {
    body.as_array().is_some_and(|steps| steps[1]["op"] == "replace")
}

/// The owner that a patch takes out.
fn stripped(body: &Value) -> &str {
    let of_json_patch = body.as_array().and_then(|steps| steps[1]["value"].as_str());
    of_json_patch.or(body["metadata"]["ownerReferences"][0]["uid"].as_str()).unwrap()
}

/// Statement M1.
#[test]
fn the_dependents_of_a_deleted_owner_go() {
    let mut bench = Bench::new();
    bench.put(DAEMON_SET, "ds", &[], json!({}));
    bench.put(POD, "p", &[("ds", true)], json!({}));
    bench.put(POD, "q", &[("ds", true)], json!({}));
    bench.put(POD, "free", &[], json!({}));
    assert_eq!(bench.settle(), [""; 0]);
    bench.remove("ds");
    assert_eq!(bench.settle(), ["delete p Background", "delete q Background"]);
    assert!(bench.collector.dependents.is_empty());
}

#[test]
fn an_owner_that_was_never_seen_is_asked_for_once_before_anything_goes() {
    let mut bench = Bench::new();
    bench.put(POD, "p", &[("ghost", true)], json!({}));
    bench.put(POD, "q", &[("ghost", true)], json!({}));
    assert_eq!(bench.settle(), ["delete p Background", "delete q Background", "is ghost there"]);
}

#[test]
fn an_owner_that_the_watch_has_not_shown_yet_keeps_its_dependents() {
    let mut bench = Bench::new();
    bench.objects.insert("late".into(), (DAEMON_SET, json!({"metadata": {"uid": "late"}})));
    bench.put(POD, "p", &[("late", true)], json!({}));
    assert_eq!(bench.settle(), ["is late there"]);
}

#[test]
fn an_owner_whose_name_another_object_has_is_gone() {
    let mut bench = Bench::new();
    bench.objects.insert("old".into(), (DAEMON_SET, json!({"metadata": {"uid": "new"}})));
    bench.put(POD, "p", &[("old", true)], json!({}));
    assert_eq!(bench.settle(), ["delete p Background", "is old there"]);
}

#[test]
fn a_lost_owner_is_taken_out_where_another_one_remains() {
    let mut bench = Bench::new();
    bench.put(DAEMON_SET, "a", &[], json!({}));
    bench.put(DAEMON_SET, "b", &[], json!({}));
    bench.put(POD, "p", &[("a", true), ("b", true)], json!({}));
    bench.remove("a");
    assert_eq!(bench.settle(), ["strip a from p"]);
}

/// Statement M2.
#[test]
fn a_foreground_deletion_waits_for_what_blocks_it() {
    let mut bench = Bench::new();
    bench.put(DAEMON_SET, "ds", &[], json!({}));
    bench.put(POD, "p", &[("ds", true)], json!({}));
    bench.put(POD, "loose", &[("ds", false)], json!({}));
    let deleting =
        json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x/y", "foregroundDeletion"]});
    bench.put(DAEMON_SET, "ds", &[], deleting);
    assert_eq!(bench.settle(), ["delete p Background", "finalizers of ds [\"x/y\"]"]);
}

/// Statement M2.
#[test]
fn a_circle_of_owners_that_wait_for_each_other_comes_to_an_end() {
    let mut bench = Bench::new();
    let waits = || json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["foregroundDeletion"]});
    let circle = [("a", "c"), ("b", "a"), ("c", "b")];
    for (uid, owner) in circle {
        bench.put(DAEMON_SET, uid, &[(owner, true)], json!({}));
    }
    for (uid, owner) in &circle[..2] {
        bench.put(DAEMON_SET, uid, &[(owner, true)], waits());
    }
    assert_eq!(bench.settle(), ["delete c Foreground", "finalizers of b []"]);
    // Had the last of them waited too, nobody would go first.
    let mut bench = Bench::new();
    for (uid, owner) in circle {
        bench.put(DAEMON_SET, uid, &[(owner, true)], json!({}));
    }
    for (uid, owner) in circle {
        bench.put(DAEMON_SET, uid, &[(owner, true)], waits());
    }
    let told = bench.settle();
    assert!(told.iter().any(|said| said.ends_with("blocks nobody")), "{told:?}");
    assert!(told.iter().any(|said| said.starts_with("finalizers of")), "{told:?}");
}

/// Statement M2.
#[test]
fn an_orphan_deletion_frees_the_dependents_first() {
    let mut bench = Bench::new();
    bench.put(DAEMON_SET, "ds", &[], json!({}));
    bench.put(POD, "p", &[("ds", true)], json!({}));
    let deleting = json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["orphan"]});
    bench.put(DAEMON_SET, "ds", &[], deleting);
    assert_eq!(bench.settle(), ["finalizers of ds []", "strip ds from p"]);
    bench.remove("ds");
    assert_eq!(bench.settle(), [""; 0]);
}

/// Statement M2.
#[test]
fn an_owner_stays_while_the_api_has_dependents_that_the_watch_has_not_shown() {
    let let_go = "finalizers of ds []";
    for (finalizer, first_step, second_step) in
        [("orphan", let_go, "strip ds from p"), ("foregroundDeletion", "delete p Background", let_go)]
    {
        let mut bench = Bench::new();
        for free in ["a", "b"] {
            bench.put(POD, free, &[], json!({}));
        }
        let owner = json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "ds", "uid": "ds", "blockOwnerDeletion": true}]);
        let late = json!({"metadata": {"name": "p", "namespace": "ns", "uid": "p", "resourceVersion": "1", "ownerReferences": owner}});
        bench.objects.insert("p".into(), (POD, late.clone()));
        let deleting = json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [finalizer]});
        bench.put(DAEMON_SET, "ds", &[], deleting);
        assert_eq!(bench.settle(), [""; 0], "{finalizer}");
        bench.pass();
        assert_eq!(bench.settle(), [""; 0], "it was looked at again: {finalizer}");
        bench.show(POD, &late, true);
        bench.pass();
        assert_eq!(bench.settle(), [first_step, second_step]);
    }
}

#[test]
fn owners_that_go_together_are_surveyed_together() {
    let mut bench = Bench::new();
    let deleting = json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["orphan"]});
    for owner in ["x", "y", "z"] {
        bench.put(DAEMON_SET, owner, &[], deleting.clone());
    }
    let lists: Vec<String> =
        std::iter::from_fn(|| bench.collector.next_write(NOW)).map(|write| write.path).collect();
    let expected =
        ["/api/v1/namespaces/ns/pods?limit=500", "/apis/apps/v1/namespaces/ns/daemonsets?limit=500"];
    assert_eq!(lists, expected);
}

#[test]
fn an_owner_stays_while_a_kind_cannot_be_listed() {
    let mut bench = Bench::new();
    let deleting = json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["orphan"]});
    bench.put(DAEMON_SET, "ds", &[], deleting);
    while let Some(write) = bench.collector.next_write(NOW) {
        let refused = everynode_client::ApiStatus { code: 500, ..Default::default() };
        bench.collector.done(write.ticket, Err(Error::Api(Box::new(refused))), NOW);
    }
    bench.pass();
    assert_eq!(bench.settle(), ["finalizers of ds []"], "it is asked again");
}

#[test]
fn an_owner_that_was_put_back_before_the_answer_came_is_taken_out_again() {
    let mut bench = Bench::new();
    bench.put(DAEMON_SET, "ds", &[], json!({}));
    bench.put(POD, "p", &[("ds", true)], json!({}));
    bench.put(
        DAEMON_SET,
        "ds",
        &[],
        json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["orphan"]}),
    );
    let write = bench.collector.next_write(NOW).unwrap();
    bench.put(POD, "p", &[], json!({"resourceVersion": "2"}));
    let answer = bench.objects["p"].1.to_string();
    bench.put(POD, "p", &[("ds", true)], json!({"resourceVersion": "3"}));
    bench.collector.done(write.ticket, Ok(answer.into()), NOW);
    assert_eq!(bench.settle(), ["finalizers of ds []", "strip ds from p"]);
}

#[test]
fn owners_of_kinds_that_are_not_served_are_believed_in() {
    let mut bench = Bench::new();
    let owner = json!([{"apiVersion": "example.com/v1", "kind": "Widget", "name": "w", "uid": "w"}]);
    bench.put(POD, "p", &[], json!({ "ownerReferences": owner }));
    assert_eq!(bench.settle(), [""; 0]);
}

#[test]
fn objects_of_definitions_are_owners_and_dependents_from_when_they_are_served() {
    const WIDGET: usize = 2;
    let mut bench = Bench::new();
    let owner =
        |name: &str| json!({"apiVersion": "example.com/v1", "kind": "Widget", "name": name, "uid": name});
    bench.put(POD, "p", &[], json!({ "ownerReferences": [owner("lost")] }));
    bench.put(POD, "q", &[], json!({ "ownerReferences": [owner("w")] }));
    assert_eq!(bench.settle(), [""; 0]);
    let widgets = ResourceKind::for_tests("example.com/v1", "Widget", "widgets", true);
    bench.collector.observe(&Fact::KindAdded { source: WIDGET, resource: &widgets }, NOW);
    assert_eq!(bench.settle(), [""; 0], "before they are listed nobody is missing");
    bench.put(WIDGET, "w", &[], json!({ "ownerReferences": [owner("a"), owner("b")] }));
    bench.put(WIDGET, "b", &[], json!({}));
    bench.collector.observe(&Fact::Listed { source: WIDGET, kind: Kind::Other }, NOW);
    assert_eq!(bench.settle(), ["delete p Background", "is a there", "is lost there", "strip a from w"]);
    bench.remove("w");
    bench.collector.observe(&Fact::KindGone { source: WIDGET }, NOW);
    assert_eq!(bench.settle(), ["delete q Background"]);
}
