use everynode_model::Value;
use serde_json::json;

use super::*;
use crate::resource::Model;
use crate::schema::type_named;

/// Deployments in their one version.
struct Deployments(Model);

impl Versions for Deployments {
    fn view(&self, version: &str) -> Option<View<'_>> {
        (version == "apps/v1").then(|| View::of(&self.0))
    }

    fn convert(&self, object: &Value, to: &str) -> Option<Value> {
        (to == "apps/v1").then(|| object.clone())
    }

    fn nothing(&self) -> Value {
        json!({"kind": "Deployment", "apiVersion": "apps/v1"})
    }
}

fn versions() -> Deployments {
    Deployments(Model::Typed(type_named("apps.v1.Deployment").unwrap()))
}

fn context<'c>(versions: &'c Deployments, manager: &'c str, now: i64) -> Context<'c> {
    static RESET: Reset = Reset::NOTHING;
    Context { versions, version: "apps/v1", manager, subresource: "", reset: &RESET, now }
}

fn deployment(spec: Value) -> Value {
    json!({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "d"}, "spec": spec})
}

fn with_containers(containers: Value) -> Value {
    deployment(json!({"template": {"spec": {"containers": containers}}}))
}

#[test]
fn what_an_object_has_is_told_by_its_schema() {
    let versions = versions();
    let object = with_containers(json!([
        {"name": "c", "ports": [{"containerPort": 80}], "args": ["a"], "resources": {}, "securityContext": null},
    ]));
    let mut out = Vec::new();
    super::text::write(&fields_of(versions.view("apps/v1").unwrap(), &object), &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        concat!(
            r#"{"f:apiVersion":{},"f:kind":{},"f:metadata":{"f:name":{}},"f:spec":{"f:template":{"f:spec":{"f:containers":"#,
            r#"{"k:{\"name\":\"c\"}":{".":{},"f:args":{},"f:name":{},"f:ports":{"#,
            r#""k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}},"f:resources":{},"#,
            r#""f:securityContext":{}}}}}}}"#
        )
    );
}

#[test]
fn elements_stand_in_the_order_of_the_configuration_among_those_of_others() {
    let versions = versions();
    let names = |object: &Value| -> String {
        let containers =
            object.pointer("/spec/template/spec/containers").unwrap().as_array().unwrap().clone();
        containers.iter().map(|one| one["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let check = |live: &str, applied: &str, expected: &str| {
        let of = |names: &str| {
            with_containers(names.chars().map(|name| json!({"name": name.to_string()})).collect::<Value>())
        };
        let merged = merge(versions.view("apps/v1").unwrap(), &of(live), &of(applied));
        assert_eq!(names(&merged), expected, "{live} with {applied}");
    };
    check("abc", "", "abc");
    check("", "abc", "abc");
    check("abc", "cba", "cba");
    check("axbyc", "cab", "xycab");
    check("ab", "cb", "acb");
}

#[test]
fn entries_are_sorted_by_operation_time_and_name_and_the_oldest_are_joined() {
    let versions = versions();
    let (mut live, mut managed) = (versions.nothing(), ManagedFields::default());
    for at in 0..12 {
        let mut new = live.clone();
        new["metadata"]["labels"][format!("l{at:02}")] = "1".into();
        managed = context(&versions, &format!("m{:02}", 11 - at), at).update(&live, &new, managed, at == 0);
        live = new;
    }
    managed = context(&versions, "z", 1)
        .apply(&live, &deployment(json!({"replicas": 1})), managed, false)
        .unwrap()
        .managed;
    let text: Value = serde_json::from_str(&managed.text()).unwrap();
    let told = |entry: &Value| {
        let labels = entry.pointer("/fieldsV1/f:metadata/f:labels").and_then(Value::as_object);
        let labels = labels.map_or(0, |labels| labels.keys().filter(|key| *key != ".").count());
        format!("{} {} {labels}", entry["manager"].as_str().unwrap(), entry["operation"].as_str().unwrap())
    };
    let told: Vec<String> = text.as_array().unwrap().iter().map(told).collect();
    assert_eq!(told.first().unwrap(), "z Apply 0");
    assert_eq!(told.len(), 11, "{told:?}");
    assert_eq!(told.iter().filter(|one| one.starts_with("ancient-changes")).count(), 1, "{told:?}");
    assert_eq!(told[1], "ancient-changes Update 3", "{told:?}");
    assert_eq!(told.last().unwrap(), "m00 Update 1", "{told:?}");
}

#[test]
fn a_write_that_takes_nothing_new_leaves_the_text_and_changes_the_time() {
    let versions = versions();
    let first = deployment(json!({"replicas": 1, "paused": true}));
    let second = deployment(json!({"replicas": 2, "paused": true}));
    let managed =
        context(&versions, "a", 1).update(&versions.nothing(), &first, ManagedFields::default(), true);
    let again = ManagedFields::stored(&managed.text());
    let same = context(&versions, "a", 5).update(&first, &first, again.clone(), false);
    assert_eq!(same.text(), managed.text());
    let later = context(&versions, "a", 5).update(&first, &second, again, false);
    assert_eq!(later.text(), managed.text().replace("1970-01-01T00:00:01Z", "1970-01-01T00:00:05Z"));
}

#[test]
fn a_configuration_that_does_not_fit_is_refused_with_the_place() {
    let versions = versions();
    let check = |config: Value, why: &str| {
        let refused =
            context(&versions, "a", 1).apply(&versions.nothing(), &config, ManagedFields::default(), false);
        assert_eq!(refused.err().unwrap().to_string(), why);
    };
    check(
        deployment(json!({"replicas": "1"})),
        ".spec.replicas: expected numeric (int or float), got string",
    );
    check(
        with_containers(json!([{"name": "c", "imagee": "x"}])),
        ".spec.template.spec.containers[name=\"c\"].imagee: field not declared in schema",
    );
    check(
        with_containers(json!([{"name": "c"}, {"name": "c"}])),
        ".spec.template.spec.containers: duplicate entries for key [name=\"c\"]",
    );
    check(
        with_containers(json!([7])),
        ".spec.template.spec.containers: element 0: associative list with keys may not have non-map elements",
    );
}

#[test]
fn hostile_entries_are_refused_and_great_ones_are_read_in_time() {
    let entry = |manager: &str, fields: Value| json!({"manager": manager, "operation": "Update", "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": fields});
    let many: Vec<Value> = (0..=MAX_ENTRIES).map(|at| entry(&at.to_string(), json!({"f:a": {}}))).collect();
    assert_eq!(ManagedFields::read(&many.into()).err(), Some(BadEntries::Count));
    let wide: Value =
        (0..50_000).map(|at| (format!("f:{at}"), json!({}))).collect::<serde_json::Map<_, _>>().into();
    let managed =
        ManagedFields::read(&json!([entry("wide", json!({"f:metadata": {"f:labels": wide}}))])).unwrap();
    let versions = versions();
    let (live, new) = (deployment(json!({"replicas": 1})), deployment(json!({"replicas": 2})));
    let after = context(&versions, "a", 1).update(&live, &new, managed, false);
    assert_eq!(after.entries().len(), 2);
}
