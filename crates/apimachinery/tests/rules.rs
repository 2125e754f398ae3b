//! Validation rules: what a kube-apiserver 1.36.2 answered to definitions and objects of our own, replayed.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use std::collections::BTreeMap;

use everynode_apimachinery::definition;
use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::resource_for;
use everynode_apimachinery::status::FieldError;
use everynode_model::{Object, Value};
use serde_json::json;

/// Rules that come to something else here, and why.
const DIFFERENT: &[(&str, &str)] = &[
    // What `format` is given is looked at when it runs.
    ("'%d'.format(['a']) == ''", "no refusal beforehand"),
    ("'%s'.format([]) == ''", "no refusal beforehand"),
    // The sum of two lists is a list, whatever the first one was.
    ("self.set + ['a', 'c'] == ['a', 'b', 'c']", "false"),
    // Expressions and regular expressions have readers of their own.
    ("self.text.matches(self.text + '(')", "another sentence"),
    ("self.text.find('(') == ''", "another sentence"),
    ("self.n === 1", "another sentence"),
    ("'abc", "fewer sentences"),
];

fn recorded() -> Value {
    serde_json::from_str(include_str!("rules/recorded.json")).unwrap()
}

fn definition(fields: Object) -> Value {
    let names = json!({"plural": "probes", "singular": "probe", "kind": "Probe", "listKind": "ProbeList"});
    let spec = json!({"type": "object", "properties": fields});
    json!({
        "metadata": {"name": "probes.example.com"},
        "spec": {
            "group": "example.com", "scope": "Cluster", "names": names, "conversion": {"strategy": "None"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
            }],
        },
        "status": {"acceptedNames": names, "storedVersions": ["v1"]},
    })
}

/// What is wrong with a definition: the field, the reason and the message of each mistake.
fn refusals(definition: &Value) -> Vec<[String; 3]> {
    let definitions = resource_for("apiextensions.k8s.io", "v1", "customresourcedefinitions").unwrap();
    let mut errors = Vec::new();
    definitions.rules.validate_create(definition, &mut errors);
    told(&errors)
}

fn told(errors: &[FieldError]) -> Vec<[String; 3]> {
    let one =
        |error: &FieldError| [error.field.clone(), error.cause.reason().to_owned(), error.message.clone()];
    let mut told: Vec<[String; 3]> = errors.iter().map(one).collect();
    told.sort();
    told
}

fn resource(definition: &Value) -> Resource {
    definition::resources(definition).unwrap().pop().unwrap()
}

fn object(fields: Object) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Probe", "metadata": {"name": "x"}, "spec": fields})
}

fn with_rule(properties: &Value, rule: &Value) -> Value {
    json!({"type": "object", "properties": properties, "x-kubernetes-validations": [rule]})
}

/// The number in `...e12...`, where the name of a field is made so.
fn number_of(field: &str, before: &str) -> Option<usize> {
    let behind = field.split_once(before)?.1;
    behind.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The sentence about a rule, without the rule itself before it.
fn sentence(message: &str) -> &str {
    message.split_once("\"OptionalOldSelf\":null}: ").map_or(message, |(_, behind)| behind)
}

#[test]
fn expressions_come_to_what_they_come_to_in_kubernetes() {
    let recorded = recorded();
    let rows = recorded["rules"].as_array().unwrap();
    let field = |at: usize| {
        let rule = json!({"rule": rows[at]["rule"]});
        (format!("e{at}"), with_rule(&recorded["properties"], &rule))
    };
    let mut refused: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for [field, _, message] in refusals(&definition((0..rows.len()).map(field).collect())) {
        if let Some(at) = number_of(&field, "properties[e") {
            refused.entry(at).or_default().push(sentence(&message).to_owned());
        }
    }
    let left = || (0..rows.len()).filter(|at| !refused.contains_key(at));
    let definition = definition(left().map(field).collect());
    let value = |at: usize| (format!("e{at}"), recorded["value"].clone());
    let mut errors = Vec::new();
    resource(&definition).rules.validate_create(&object(left().map(value).collect()), &mut errors);
    let mut said: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for [field, _, message] in told(&errors) {
        said.entry(number_of(&field, "spec.e").unwrap()).or_default().push(message);
    }
    let mut wrong = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let rule = row["rule"].as_str().unwrap();
        let failed = format!("Invalid value: failed rule: {}", rule.trim());
        let mut ours = json!({"rule": rule});
        match (refused.get(&at), said.get(&at)) {
            (Some(messages), _) => ours["refused"] = json!(messages),
            (None, Some(messages)) if *messages == [failed] => ours["value"] = json!(false),
            (None, Some(messages)) => ours["error"] = json!(messages),
            (None, None) => ours["value"] = json!(true),
        }
        let mut theirs = row.clone();
        for list in ["refused", "error"] {
            if let Some(Value::Array(messages)) = theirs.get_mut(list) {
                messages.sort_by_key(Value::to_string);
            }
        }
        if (ours == theirs) == DIFFERENT.iter().any(|(known, _)| *known == rule) {
            wrong.push(format!("ours   {ours}\ntheirs {theirs}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rules_that_cost_too_much_are_refused_with_the_same_factor() {
    let recorded = recorded();
    for row in recorded["costs"].as_array().unwrap() {
        let (kind, most) = (row["kind"].as_str().unwrap(), row["most"].as_u64().unwrap());
        let mut text = json!({"type": "string"});
        let mut schema = match kind {
            "list" => json!({"type": "array", "items": {"type": "integer"}}),
            "map" => json!({"type": "object", "additionalProperties": {"type": "integer"}}),
            _ => json!({"type": "array"}),
        };
        if most > 0 {
            text["maxLength"] = most.into();
            schema[if kind == "map" { "maxProperties" } else { "maxItems" }] = most.into();
        }
        match kind {
            "string" => schema = text,
            "strings" => schema["items"] = text,
            "objects" => {
                schema["items"] = json!({
                    "type": "object", "required": ["k"],
                    "properties": {"k": text, "v": {"type": "integer"}},
                });
            }
            _ => {}
        }
        schema["x-kubernetes-validations"] = json!([{"rule": row["rule"]}]);
        let found = refusals(&definition([("v".to_owned(), schema)].into_iter().collect()));
        let mut ours: Vec<String> = found.into_iter().map(|[_, _, message]| message).collect();
        let mut theirs: Vec<String> = serde_json::from_value(row["refused"].clone()).unwrap();
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{row}");
    }
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    let recorded = recorded();
    for row in recorded["misused"].as_array().unwrap() {
        let field = with_rule(&recorded["properties"], &row["rule"]);
        let ours = refusals(&definition([("e".to_owned(), field)].into_iter().collect()));
        let theirs: Vec<[String; 3]> = serde_json::from_value(row["told"].clone()).unwrap();
        assert_eq!(ours, theirs, "{}", row["rule"]);
    }
}

#[test]
fn rules_compare_with_the_value_as_it_was() {
    let recorded = recorded();
    let transitions = &recorded["transitions"];
    let rules = transitions["rules"].as_array().unwrap();
    let fields = rules.iter().enumerate();
    let fields = fields.map(|(at, rule)| (format!("e{at}"), with_rule(&recorded["properties"], rule)));
    let definition = definition(fields.collect());
    assert_eq!(refusals(&definition), Vec::<[String; 3]>::new());
    let resource = resource(&definition);
    let with = |change: &Value, only: &[usize]| {
        let mut value = recorded["value"].clone();
        value.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        object(only.iter().map(|at| (format!("e{at}"), value.clone())).collect())
    };
    let all: Vec<usize> = (0..rules.len()).collect();
    let mut errors = Vec::new();
    resource.rules.validate_create(&with(&json!({}), &all), &mut errors);
    let theirs: Vec<[String; 3]> = serde_json::from_value(transitions["created"].clone()).unwrap();
    assert_eq!(told(&errors), theirs);
    for update in transitions["updates"].as_array().unwrap() {
        let only = [0, 1, 6, 8];
        let mut errors = Vec::new();
        let (new, old) = (with(&update["change"], &only), with(&json!({}), &only));
        resource.rules.validate_update(&new, &old, &mut errors);
        let theirs: Vec<[String; 3]> = serde_json::from_value(update["told"].clone()).unwrap();
        assert_eq!(told(&errors), theirs, "{}", update["change"]);
    }
}

#[test]
fn formats_that_the_api_does_not_know_are_warned_of_when_they_are_new() {
    let definitions = resource_for("apiextensions.k8s.io", "v1", "customresourcedefinitions").unwrap();
    let with = |kind: &str, format: &str| {
        let inner = json!({"type": "array", "items": {"type": kind, "format": format}});
        definition([("a".to_owned(), inner)].into_iter().collect())
    };
    let check = |kind: &str, format: &str, is_known: bool| {
        let found = definitions.rules.warnings(&with(kind, format), None);
        let expected = format!("unrecognized format \"{format}\"");
        assert_eq!(found, if is_known { vec![] } else { vec![expected] }, "{kind} {format}");
        assert!(definitions.rules.warnings(&with(kind, format), Some(&with(kind, format))).is_empty());
    };
    check("string", "date-time", true);
    check("string", "ip", false);
    check("string", "k8s-short-name", true);
    check("integer", "int32", true);
    check("integer", "uint32", false);
    check("number", "double", true);
    check("boolean", "int32", false);
}
