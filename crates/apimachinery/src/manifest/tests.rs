use proptest::prelude::*;
use serde_json::json;

use super::*;

fn values(text: &str) -> Vec<Value> {
    documents(text).into_iter().map(|result| result.expect("readable").value).collect()
}

#[test]
fn documents_are_split_at_separators_and_know_their_lines() {
    let text = "# head\n---\na: 1\n--- # comment\n# more\n\nb: 2\n---\n---\nc: 3\n";
    let found: Vec<(usize, Value)> = documents(text)
        .into_iter()
        .map(|result| result.expect("readable"))
        .map(|d| (d.line, d.value))
        .collect();
    assert_eq!(found, [(3, json!({"a": 1})), (7, json!({"b": 2})), (10, json!({"c": 3}))]);
}

#[test]
fn anchors_merge_keys_and_nulls_are_resolved() {
    let text =
        "base: &b {x: 1, z: 2}\nuse:\n  <<: *b\n  z: 3\nlist: &l [a, *b]\nagain: *l\nnone: ~\nempty:\n";
    assert_eq!(
        values(text),
        [json!({
            "again": ["a", {"x": 1, "z": 2}], "base": {"x": 1, "z": 2}, "empty": null,
            "list": ["a", {"x": 1, "z": 2}], "none": null, "use": {"x": 1, "z": 3},
        })]
    );
}

#[test]
fn quotes_and_blocks_make_text_of_what_looks_like_a_number() {
    let text = "a: '0640'\nb: \"yes\"\nc: |\n  12\nd: !!str 5\n1: x\nyes: t\n";
    assert_eq!(
        values(text),
        [json!({"1": "x", "a": "0640", "b": "yes", "c": "12\n", "d": "5", "true": "t"})]
    );
}

#[test]
fn a_list_gives_its_items() {
    let text = "kind: List\napiVersion: v1\nitems:\n- {kind: A}\n- {kind: B}\n";
    assert_eq!(values(text), [json!({"kind": "A"}), json!({"kind": "B"})]);
    assert_eq!(values("{\"kind\":\"A\"}\n{\"kind\":\"B\"}"), [json!({"kind": "A"}), json!({"kind": "B"})]);
}

#[test]
fn a_broken_document_names_its_line_and_leaves_the_others_alone() {
    let text = "a: 1\n---\nb: [1\nc: 2\n---\nd: 4\n--- x\n---\ne: 5\n";
    let results = documents(text);
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3);
    assert_eq!(
        errors(text),
        [
            "document 2, line 4: error converting YAML to JSON: yaml: line 2: illegal placement of ':' indicator",
            "document 4, line 7: invalid Yaml document separator: x",
        ]
    );
}

fn errors(text: &str) -> Vec<String> {
    documents(text).into_iter().filter_map(Result::err).map(|error| error.to_string()).collect()
}

#[test]
fn items_of_a_typed_list_get_its_kind_and_version() {
    let check = |items: Value, expected: &[Value]| {
        let text = json!({"apiVersion": "apps/v1", "kind": "DaemonSetList", "items": items}).to_string();
        assert_eq!(values(&text), expected, "{text}");
    };
    let (kind, version) = ("DaemonSet", "apps/v1");
    check(json!([{"a": 1}]), &[json!({"a": 1, "kind": kind, "apiVersion": version})]);
    check(json!([{"kind": "Pod"}]), &[json!({"kind": "Pod"})]);
    check(json!([{"kind": "Pod", "apiVersion": "v1"}]), &[json!({"kind": "Pod", "apiVersion": "v1"})]);
    check(json!([]), &[]);
    check(json!(null), &[]);
    let inner = json!({"apiVersion": "v1", "kind": "PodList", "items": [{"a": 1}]});
    check(json!([inner]), &[json!({"a": 1, "kind": "Pod", "apiVersion": "v1"})]);
}

#[test]
fn what_kubectl_refuses_is_refused() {
    let check = |text: &str, expected: &str| {
        let errors = errors(text);
        assert!(errors.len() == 1 && errors[0].ends_with(expected), "{text:?} gives {errors:?}");
    };
    check(
        "{\"a\": 1}garbage",
        "line 1: error parsing JSON: invalid character 'g' looking for beginning of value",
    );
    check("{\"a\": 1,}", "invalid character '}' looking for beginning of object key string");
    check(
        "{\"a\": 1}\n{\"b\":\n [}",
        "document 2, line 3: error parsing JSON: invalid character '}' looking for beginning of value",
    );
    check("{\"a\": 1} 5", "a document must be an object with apiVersion and kind, found number");
    check("hello\n", "a document must be an object with apiVersion and kind, found string");
    check("- a\n", "a document must be an object with apiVersion and kind, found array");
    check("kind: List\nitems: []\n", "List: apiVersion not set");
    check("kind: List\napiVersion: v1\nitems: x\n", "List: items must be an array, found string");
    check(
        "kind: List\napiVersion: v1\nitems: [x]\n",
        "a document must be an object with apiVersion and kind, found string",
    );
    for text in [
        "\t\n",
        "\t\n---\n",
        "a: 1\n\t\n",
        "a: 1\n\t# c\n",
        "a: |\n  x\n\t\n",
        "a: x\n\ty\n",
        "a:\n  b: 1\n \t\nc: 2\n",
        "# c\n\t\na: 1\n",
        "a: x\n\n\t\nb: y\n",
        "a: \"x\"\n  \t\nb: y\n",
        "a: \"x\"\n  \t# foo\nb: y\n",
    ] {
        check(text, "");
    }
    check("a: |\n\tx\n", "");
    check("a:\n\tb: y\n", "");
}

#[test]
fn tabs_that_are_no_indentation_stay() {
    let check = |text: &str, expected: Value| assert_eq!(values(text), [expected], "{text:?}");
    check("a: |\n  x\n  \ty\n", json!({"a": "x\n\ty\n"}));
    check("a: \"x\n\ty\"\n", json!({"a": "x y"}));
    check("a: [1,\n\t2]\n", json!({"a": [1, 2]}));
    check("a: {b: 1,\n\t\n c: 2}\n", json!({"a": {"b": 1, "c": 2}}));
    check("a:\tb\t\n", json!({"a": "b"}));
    check("a: x\n  \ty\nb: z\n", json!({"a": "x y", "b": "z"}));
    check("a: 1 \t # x\n", json!({"a": 1}));
}

#[test]
fn of_keys_that_stand_twice_the_last_counts_with_a_warning() {
    let check = |text: &str, expected: Value, warnings: &[&str]| {
        let document = documents(text).remove(0).unwrap();
        let found: Vec<String> = document.warnings.iter().map(ToString::to_string).collect();
        assert_eq!((document.value, found), (expected, warnings.iter().map(|&one| one.into()).collect()));
    };
    check(
        "---\ne: 1\ne: 2\n",
        json!({"e": 2}),
        &["line 3: key \"e\" already set in map; the last one counts"],
    );
    check("\n{\"a\": {\"e\": 1, \"e\": 2}}", json!({"a": {"e": 2}}), &["line 2: duplicate field \"a.e\""]);
    check("e: 1\n", json!({"e": 1}), &[]);
}

#[test]
fn whole_numbers_of_json_lose_their_fraction() {
    let check = |number: &str, expected: &str| {
        assert_eq!(values(&format!("{{\"a\":[{number}]}}"))[0]["a"][0].to_string(), expected);
    };
    check("1.0", "1");
    check("1e1", "10");
    check("-0.0", "0");
    check("1.5", "1.5");
    check("9223372036854775807", "9223372036854775807");
    check("4e18", "4000000000000000000");
}

#[test]
fn json_goes_on_as_yaml_behind_a_separator() {
    let text = "{\"a\": 1}\n---\nb: 2\n---\n{c: 3,}\n";
    let found: Vec<_> = documents(text).into_iter().map(Result::unwrap).map(|d| (d.line, d.value)).collect();
    assert_eq!(found, [(1, json!({"a": 1})), (3, json!({"b": 2})), (5, json!({"c": 3}))]);
}

#[test]
fn aliases_cannot_grow_without_end() {
    let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(",")));
    }
    let message = parse_yaml(&text).expect_err("refused").to_string();
    assert!(message.contains("excessive aliasing"), "{message}");
    let deep = "[".repeat(10_000);
    assert!(parse_yaml(&deep).is_err());
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in "[a-c0-9:\\-\\[\\]{}&*!|>'\"#,~ \n\t.<]{0,80}") {
        let _ = documents(&text);
    }
}
