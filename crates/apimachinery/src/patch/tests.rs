use everynode_model::{Value, encode};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::schema::{Type, type_named};
use crate::status::Status;

fn set() -> &'static Type {
    type_named("apps.v1.DaemonSet").expect("a type of the schema")
}

/// A DaemonSet with this pod template spec.
fn object(spec: Value) -> Value {
    let value = json!({
        "metadata": {"name": "a", "finalizers": ["example.io/a", "example.io/b"], "labels": {"x": "1", "y": "2"}},
        "spec": {"selector": null, "template": {"spec": spec}, "updateStrategy": {}},
    });
    crate::decode::normalize(set(), &value).expect("a DaemonSet")
}

fn pod_spec(result: Result<Patched, Status>) -> Value {
    result.expect("the patch applies").value["spec"]["template"]["spec"].clone()
}

fn check(spec: Value, patch: Value, expected: Value) {
    let patch = json!({"spec": {"template": {"spec": patch}}});
    let patched = pod_spec(strategic_merge(set(), &object(spec), &encode::to_vec(&patch)));
    let expected = object(expected)["spec"]["template"]["spec"].clone();
    assert_eq!(encode::to_text(&patched), encode::to_text(&expected), "{patch}");
}

fn names(names: &str) -> Value {
    names.chars().map(|name| json!({"name": name.to_string()})).collect()
}

#[test]
fn lists_are_merged_by_their_key_and_ordered_as_upstream_orders_them() {
    let containers = |list: &str| json!({"containers": names(list)});
    check(containers("ab"), containers("b"), containers("ab"));
    check(containers("ab"), containers("ba"), containers("ba"));
    check(containers("ab"), containers("c"), containers("cab"));
    check(containers("abc"), json!({"containers": [{"name": "b", "$patch": "delete"}]}), containers("ac"));
    check(containers("abc"), json!({"containers": [{"$patch": "replace"}, {"name": "z"}]}), containers("z"));
    check(
        containers("abc"),
        json!({"$setElementOrder/containers": names("cab"), "containers": [{"name": "b"}]}),
        containers("cab"),
    );
    check(containers("abcd"), json!({"$setElementOrder/containers": names("ca")}), containers("bcad"));
}

#[test]
fn maps_and_scalars_follow_their_directives() {
    let volumes = |source: Value| json!({"volumes": [source], "containers": null});
    check(
        volumes(json!({"name": "v", "emptyDir": {}})),
        volumes(json!({"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}})),
        volumes(json!({"name": "v", "hostPath": {"path": "/"}})),
    );
    let selector = |map: Value| json!({"nodeSelector": map, "containers": null});
    check(selector(json!({"a": "1", "b": "2"})), selector(json!({"a": null})), selector(json!({"b": "2"})));
    check(
        selector(json!({"a": "1"})),
        selector(json!({"$patch": "replace", "c": "3"})),
        selector(json!({"c": "3"})),
    );
    check(selector(json!({"a": "1"})), selector(json!({"$patch": "delete"})), selector(json!({})));
    let finalizers = |patch: Value| {
        let patch = encode::to_vec(&json!({"metadata": patch}));
        let patched = strategic_merge(set(), &object(json!({})), &patch).expect("the patch applies");
        patched.value["metadata"]["finalizers"].clone()
    };
    assert_eq!(
        finalizers(json!({"finalizers": ["example.io/c", "example.io/a"]})),
        json!(["example.io/c", "example.io/a", "example.io/b"]),
    );
    assert_eq!(
        finalizers(json!({"$deleteFromPrimitiveList/finalizers": ["example.io/a"]})),
        json!(["example.io/b"])
    );
    assert_eq!(finalizers(json!({"finalizers": null})), Value::Null);
}

#[test]
fn broken_patches_are_refused_in_the_words_of_the_api() {
    let check = |patch: &str, code: u16, message: &str| {
        let status = strategic_merge(set(), &object(json!({"containers": names("a")})), patch.as_bytes());
        let status = status.expect_err("refused");
        assert_eq!((status.code(), status.message.as_str()), (code, message), "{patch}");
    };
    check("{", 400, "unexpected end of JSON input");
    check("[]", 400, "json: cannot unmarshal array into Go value of type map[string]interface {}");
    check(
        r#"{"spec":{"template":{"spec":{"containers":[{"image":"x"}]}}}}"#,
        500,
        "map: map[image:x] does not contain declared merge key: name",
    );
    check(
        r#"{"spec":{"minReadySeconds":"x"}}"#,
        422,
        " \"\" is invalid: patch: Invalid value: \"map[spec:map[minReadySeconds:x]]\": unrecognized type: int32",
    );
    check(
        r#"{"spec":{"template":{"$retainKeys":["metadata"],"spec":{}}}}"#,
        400,
        "invalid patch format of retainKeys",
    );
}

#[test]
fn unknown_fields_of_a_patch_are_problems() {
    let original = object(json!({}));
    let patched = strategic_merge(set(), &original, br#"{"spec":{"surprise":true}}"#).expect("applies");
    assert_eq!(patched.problems, ["unknown field \"spec.surprise\""]);
    assert_eq!(patched.strict().expect_err("refused").code(), 422);
    let patched = merge_patch(set(), &original, br#"{"a":1,"a":2}"#).expect("applies");
    assert_eq!(patched.problems, ["duplicate field \"a\"", "unknown field \"a\""]);
}

#[test]
fn a_merge_patch_sorts_what_it_merges_in_data_of_any_kind_and_nothing_else() {
    let check = |patch: Value, data: &str| {
        let revision = json!({"data": {"z": {"d": 1, "c": [null]}, "a": {"y": 1, "x": {"n": 2, "m": null}}}});
        let ty = type_named("apps.v1.ControllerRevision").expect("a type of the schema");
        let patched = merge_patch(ty, &revision, &encode::to_vec(&patch)).expect("applies");
        assert_eq!(encode::to_text(&patched.value["data"]), data, "{patch}");
    };
    check(json!({"revision": 2}), r#"{"z":{"d":1,"c":[null]},"a":{"y":1,"x":{"n":2,"m":null}}}"#);
    check(json!({"data": {"b": 1}}), r#"{"a":{"y":1,"x":{"n":2,"m":null}},"b":1,"z":{"d":1,"c":[null]}}"#);
    check(json!({"data": {"z": null}}), r#"{"a":{"y":1,"x":{"n":2,"m":null}}}"#);
    check(
        json!({"data": {"z": {"c": {"f": {}, "e": null}}, "a": {"x": [null]}}}),
        r#"{"a":{"x":[null],"y":1},"z":{"c":{"f":{}},"d":1}}"#,
    );
}

#[test]
fn json_patches_apply_whole_or_not_at_all() {
    let original = object(json!({"nodeSelector": {"a": "1"}}));
    let run = |patch: Value| json_patch(set(), &original, &encode::to_vec(&patch));
    let at = |op: &str, path: &str, value: &str| json!([{"op": op, "path": format!("/spec/template/spec/nodeSelector{path}"), "value": value}]);
    assert_eq!(pod_spec(run(at("add", "/b~1c", "2")))["nodeSelector"], json!({"a": "1", "b/c": "2"}));
    assert_eq!(pod_spec(run(at("replace", "/a", "2")))["nodeSelector"], json!({"a": "2"}));
    assert!(pod_spec(run(at("remove", "/a", ""))).get("nodeSelector").is_none());
    for broken in
        [at("test", "/a", "2"), at("remove", "/z", ""), at("replace", "/z", "1"), at("odd", "/a", "1")]
    {
        assert_eq!(run(broken).expect_err("refused").code(), 422);
    }
    let patched =
        run(json!([{"op": "add", "path": "/metadata/labels", "value": {}, "more": 1}])).expect("applies");
    assert_eq!(patched.problems, ["json patch unknown field \"[0].more\""]);
}

#[test]
fn copies_cannot_grow_an_object_without_end() {
    let mut operations = vec![json!({"op": "add", "path": "/metadata/annotations", "value": {"a": "x"}})];
    for step in 0..40 {
        operations.push(json!({"op": "copy", "from": "/metadata", "path": format!("/metadata/c{step}")}));
    }
    let patch = encode::to_vec(&Value::from(operations));
    assert_eq!(json_patch(set(), &object(json!({})), &patch).expect_err("refused").code(), 422);
}

proptest! {
    #[test]
    fn an_empty_strategic_merge_changes_nothing(image in "[a-z]{0,5}", tolerations in 0..3usize, list in "[a-e]{0,4}") {
        let mut spec = json!({"containers": names(&list), "tolerations": vec![json!({"key": image}); tolerations]});
        spec["nodeSelector"] = json!({"a": image});
        let original = object(spec);
        let patched = strategic_merge(set(), &original, b"{}").expect("applies").value;
        prop_assert_eq!(encode::to_text(&patched), encode::to_text(&original));
    }

    #[test]
    fn merging_the_object_itself_changes_nothing(list in "[a-e]{0,4}") {
        let mut distinct: Vec<char> = list.chars().collect();
        distinct.sort_unstable();
        distinct.dedup();
        let original = object(json!({"containers": names(&String::from_iter(distinct))}));
        let patched = strategic_merge(set(), &original, &encode::to_vec(&original)).expect("applies").value;
        prop_assert_eq!(encode::to_text(&patched), encode::to_text(&original));
    }

    #[test]
    fn no_patch_breaks_the_readers(text in "[{}\\[\\]\":,$a-zA-Z0-9]{0,60}") {
        let original = object(json!({"containers": names("ab")}));
        let _ = strategic_merge(set(), &original, text.as_bytes());
        let _ = merge_patch(set(), &original, text.as_bytes());
        let _ = json_patch(set(), &original, text.as_bytes());
    }
}

#[test]
fn a_json_patch_nests_no_deeper_than_what_is_read_and_moves_only_so_much() {
    let check = |operations: Value, is_applied: bool| {
        let patched = json_patch(set(), &object(json!({})), &encode::to_vec(&operations));
        assert_eq!(patched.is_ok(), is_applied);
    };
    // Each round puts `/x` one level deeper.
    let round = [
        json!({"op": "add", "path": "/y", "value": {}}),
        json!({"op": "move", "from": "/x", "path": "/y/x"}),
        json!({"op": "move", "from": "/y", "path": "/x"}),
    ];
    let nested = |rounds: usize| {
        let begin = [json!({"op": "add", "path": "/x", "value": 1})];
        begin.into_iter().chain(round.iter().cycle().take(3 * rounds).cloned()).collect::<Value>()
    };
    check(nested(200), true);
    check(nested(1_000), false);
    let long = format!("/x{}", "/x".repeat(300));
    check(json!([{"op": "add", "path": long, "value": 1}]), false);
    let many = json!({"op": "add", "path": "/x", "value": vec![0; 10_000]});
    let moved = json!({"op": "move", "from": "/x/0", "path": "/x/9999"});
    let moves = |count: usize| {
        let many = std::iter::once(many.clone());
        many.chain(std::iter::repeat_n(moved.clone(), count)).collect::<Value>()
    };
    check(moves(100), true);
    check(moves(9_000), false);
}
