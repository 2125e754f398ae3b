use everynode_client::ApiStatus;

use super::*;

const NOW: Now = Now { millis: 0, wall_seconds: 1_700_000_000 };

/// Three pods of which so many are ready, a budget over them, and what the server has beside.
struct Bench {
    disruption: Disruption,
    /// What is at a path.
    served: HashMap<String, Value>,
    now: Now,
}

impl Bench {
    /// Pods whose controllers are these, one each.
    fn new(ready: usize, controllers: [Value; 3]) -> Bench {
        let mut disruption = Disruption::new(fastrand::Rng::with_seed(1));
        let kind = |api_version: &str, name: &str, plural: &str, has_scale| {
            let mut kind = ResourceKind::for_tests(api_version, name, plural, true);
            kind.has_scale = has_scale;
            kind
        };
        let kinds = [
            kind("v1", "ReplicationController", "replicationcontrollers", true),
            kind("apps/v1", "DaemonSet", "daemonsets", false),
            kind("apps/v1", "Deployment", "deployments", true),
            kind("apps/v1", "ReplicaSet", "replicasets", true),
            kind("example.io/v1", "Fleet", "fleets", true),
        ];
        disruption.observe(&Fact::Kinds(&kinds), NOW);
        for (index, controller) in controllers.into_iter().enumerate() {
            let status = if index < ready { "True" } else { "False" };
            let pod = json!({
                "metadata": {"name": format!("p{index}"), "namespace": "ns", "uid": index.to_string(),
                    "labels": {"app": "a"}, "ownerReferences": references(controller)},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]},
            });
            disruption.observe(&Fact::Pod(&serde_json::from_str(&pod.to_string()).unwrap()), NOW);
        }
        disruption.observe(&Fact::Listed { source: 0, kind: Kind::Pods }, NOW);
        Bench { disruption, served: HashMap::new(), now: NOW }
    }

    /// An object with a scale, such as `apps/v1 replicasets`, and who controls it.
    fn serve(&mut self, place: &str, name: &str, replicas: i64, controller: Value) {
        let (api_version, plural) = place.split_once(' ').unwrap();
        let root = if api_version.contains('/') { "apis" } else { "api" };
        let path = format!("/{root}/{api_version}/namespaces/ns/{plural}/{name}");
        let mut object =
            json!({"metadata": {"name": name, "uid": name}, "spec": {"replicas": replicas}, "status": {}});
        self.served.insert(format!("{path}/scale"), object.clone());
        object["metadata"]["ownerReferences"] = references(controller);
        self.served.insert(path, object);
    }

    fn budget(&mut self, mut spec: Value) {
        spec["selector"] = json!({"matchLabels": {"app": "a"}});
        let budget =
            json!({"metadata": {"name": "b", "namespace": "ns", "uid": "b", "generation": 1}, "spec": spec});
        self.disruption.observe(&Fact::Budget(&serde_json::from_str(&budget.to_string()).unwrap()), NOW);
    }

    /// Lets all requests succeed and gives the last status that was written.
    fn settle(&mut self) -> Option<Value> {
        let mut last = None;
        while let Some(write) = self.disruption.next_write(self.now) {
            let gone = || Error::Api(Box::new(ApiStatus { code: 404, ..ApiStatus::default() }));
            let answer = match write.method {
                Method::GET => self.served.get(&write.path).cloned().ok_or_else(gone),
                _ => {
                    let mut body: Value = serde_json::from_slice(&write.body).unwrap();
                    last = Some(body["status"].clone());
                    Ok(json!({"status": body["status"].take()}))
                }
            };
            self.disruption.done(write.ticket, answer.map(|body| body.to_string().into()), self.now);
        }
        last
    }
}

/// Nobody controls it where there is no controller.
fn references(controller: Value) -> Value {
    if controller.is_null() { json!([]) } else { json!([controller]) }
}

fn controlled_by(api_version: &str, kind: &str, name: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": name, "controller": true})
}

/// currentHealthy, desiredHealthy, disruptionsAllowed, expectedPods, and why.
fn told(status: &Value) -> (Vec<i64>, &str, &str) {
    let counts = ["currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"];
    let condition = &status["conditions"][0];
    let text = |field: &str| condition[field].as_str().unwrap();
    (counts.map(|count| status[count].as_i64().unwrap()).to_vec(), text("reason"), text("message"))
}

#[test]
fn a_number_of_pods_counts_those_that_there_are() {
    let check = |spec: Value, ready: usize, expected: [i64; 4]| {
        let mut bench = Bench::new(ready, [const { Value::Null }; 3]);
        bench.budget(spec.clone());
        let status = bench.settle().unwrap();
        assert_eq!(told(&status).0, expected, "{spec}");
        bench.disruption.mark_dirty(&("ns".into(), "b".into()));
        assert_eq!(bench.settle(), None, "nothing changed, nothing is written");
    };
    check(json!({"minAvailable": 2}), 3, [3, 2, 1, 3]);
    check(json!({"minAvailable": 2}), 2, [2, 2, 0, 3]);
    check(json!({"minAvailable": 0}), 2, [2, 0, 2, 3]);
    check(json!({}), 3, [3, 0, 0, 0]);
}

#[test]
fn a_share_counts_what_the_controllers_of_the_pods_want() {
    let set = || controlled_by("apps/v1", "ReplicaSet", "set");
    let check = |spec: Value, controllers: [Value; 3], expected: [i64; 4]| {
        let mut bench = Bench::new(3, controllers);
        let deployment = || controlled_by("apps/v1", "Deployment", "web");
        bench.serve("apps/v1 deployments", "web", 5, Value::Null);
        bench.serve("apps/v1 replicasets", "set", 4, Value::Null);
        bench.serve("apps/v1 replicasets", "web-1", 2, deployment());
        bench.serve("apps/v1 replicasets", "web-2", 3, deployment());
        bench.serve("apps/v1 replicasets", "left", 3, controlled_by("apps/v1", "Deployment", "gone"));
        bench.serve("v1 replicationcontrollers", "old", 3, Value::Null);
        bench.serve("example.io/v1 fleets", "fleet", 10, Value::Null);
        bench.budget(spec.clone());
        let status = bench.settle().unwrap();
        assert_eq!(told(&status).0, expected, "{spec}");
        assert_eq!(status["observedGeneration"], 1);
    };
    check(json!({"maxUnavailable": 1}), [set(), set(), set()], [3, 3, 0, 4]);
    check(json!({"maxUnavailable": 2}), [set(), set(), set()], [3, 2, 1, 4]);
    check(json!({"maxUnavailable": "30%"}), [set(), set(), set()], [3, 2, 1, 4]);
    check(json!({"minAvailable": "50%"}), [set(), set(), set()], [3, 2, 1, 4]);
    let of_web = |number| controlled_by("apps/v1", "ReplicaSet", &format!("web-{number}"));
    check(json!({"maxUnavailable": 3}), [of_web(1), of_web(1), of_web(2)], [3, 2, 1, 5]);
    let left = || controlled_by("apps/v1", "ReplicaSet", "left");
    check(json!({"maxUnavailable": 1}), [left(), left(), left()], [3, 2, 1, 3]);
    let old = || controlled_by("v1", "ReplicationController", "old");
    check(json!({"maxUnavailable": 5}), [old(), set(), Value::Null], [3, 2, 1, 7]);
    let fleet = || controlled_by("example.io/v1", "Fleet", "fleet");
    check(json!({"maxUnavailable": "80%"}), [fleet(), fleet(), fleet()], [3, 2, 1, 10]);
    check(json!({"maxUnavailable": 1}), [const { Value::Null }; 3], [3, 0, 0, 0]);
}

#[test]
fn a_share_of_pods_whose_controllers_have_no_scale_grants_nothing() {
    let check = |spec: Value, controller: Value, message: &str| {
        let mut bench = Bench::new(3, [controller.clone(), controller.clone(), controller]);
        bench.budget(spec);
        let status = bench.settle().unwrap();
        assert_eq!(told(&status), (vec![0, 0, 0, 0], "SyncFailed", message));
        assert_eq!(status["conditions"][0]["status"], "False");
        assert_eq!(status["observedGeneration"], Value::Null, "evictions wait for a count");
        bench.disruption.mark_dirty(&("ns".into(), "b".into()));
        assert_eq!(bench.settle(), None, "the same failure is not written again");
    };
    let daemon = || controlled_by("apps/v1", "DaemonSet", "agent");
    let message = "daemonsets.apps does not implement the scale subresource";
    check(json!({"maxUnavailable": 1}), daemon(), message);
    check(json!({"minAvailable": "50%"}), daemon(), message);
    let absent = || controlled_by("apps/v1", "ReplicaSet", "gone");
    check(json!({"maxUnavailable": 1}), absent(), "found no controllers for pod \"p0\"");
    let strange = controlled_by("example.io/v1", "Herd", "herd");
    let message = "no matches for kind \"Herd\" in version \"example.io/v1\"";
    check(json!({"maxUnavailable": 1}), strange, message);
}

#[test]
fn a_budget_that_failed_counts_again_once_the_controller_is_there() {
    let absent = || controlled_by("apps/v1", "ReplicaSet", "late");
    let mut bench = Bench::new(3, [absent(), absent(), absent()]);
    bench.budget(json!({"maxUnavailable": 1}));
    assert_eq!(told(&bench.settle().unwrap()).1, "SyncFailed");
    bench.serve("apps/v1 replicasets", "late", 3, Value::Null);
    bench.now.millis = bench.disruption.next_wake().unwrap();
    bench.disruption.wake(bench.now);
    assert_eq!(told(&bench.settle().unwrap()), (vec![3, 2, 1, 3], "SufficientPods", ""));
    assert_eq!(bench.disruption.next_wake(), None);
}
