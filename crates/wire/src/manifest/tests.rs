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
    let text = "a: 1\n---\nb: [1\nc: 2\n---\nd: 4\n---\ne: 1\ne: 2\n--- x\n";
    let results = documents(text);
    let errors: Vec<String> =
        results.iter().filter_map(|result| result.as_ref().err()).map(ToString::to_string).collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2);
    assert!(
        errors[0].starts_with("document 2, line 4: error converting YAML to JSON: yaml: line 2: "),
        "{errors:?}"
    );
    assert_eq!(errors[1], "document 4, line 9: key \"e\" already set in map");
    assert_eq!(errors[2], "document 5, line 10: invalid Yaml document separator: x");
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
