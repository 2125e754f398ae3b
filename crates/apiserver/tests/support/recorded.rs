//! Answers of a kube-apiserver that were recorded, beside ours.

use everynode_model::Value;
use serde_json::json;

/// An answer without what differs from run to run.
fn plain(value: &Value) -> Value {
    const VOLATILE: &[&str] = &[
        "managedFields",
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "deletionTimestamp",
        "lastTransitionTime",
    ];
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, value)| {
                let is_last_page = *name == "continue" && *value == "";
                !VOLATILE.contains(&name.as_str()) && !is_last_page
            });
            kept.map(|(name, value)| (name.clone(), plain(value))).collect::<everynode_model::Object>().into()
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}

fn is_age(text: &str) -> bool {
    let mut digits = 0;
    let fits = |c: char| c.is_ascii_digit() || "smhdy".contains(c);
    digits += text.chars().filter(char::is_ascii_digit).count();
    digits > 0 && text.chars().all(fits) && text.ends_with(|c: char| c.is_ascii_alphabetic())
}

/// What an answer says, without what differs from run to run.
pub fn told(answer: &Value) -> Value {
    if answer["kind"] == "Status" && answer["status"] == "Failure" {
        let causes = answer["details"]["causes"].as_array().cloned().unwrap_or_default();
        let cause = |one: &Value| json!([one["field"].as_str().unwrap_or(""), one["reason"], one["message"]]);
        let mut causes: Vec<Value> = causes.iter().map(cause).collect();
        causes.sort_by_key(Value::to_string);
        return json!({"reason": answer["reason"], "message": answer["message"], "causes": causes});
    }
    if answer["kind"] == "Table" {
        let columns = answer["columnDefinitions"].as_array().into_iter().flatten();
        let columns = columns.map(|c| json!([c["name"], c["type"], c["format"], c["priority"]]));
        let cell = |cell: &Value| match cell.as_str() {
            Some(text) if is_age(text) => "<age>".into(),
            _ => cell.clone(),
        };
        let rows = answer["rows"].as_array().into_iter().flatten();
        let rows = rows.map(|row| row["cells"].as_array().unwrap().iter().map(cell).collect::<Value>());
        return json!({"columns": columns.collect::<Value>(), "cells": rows.collect::<Value>()});
    }
    plain(answer)
}

/// Whether two answers say the same. A message that lists several mistakes lists them in no particular order.
pub fn same(mut ours: Value, mut theirs: Value) -> bool {
    for one in [&mut ours, &mut theirs] {
        if let Some(causes) = one["causes"].as_array_mut() {
            let several = causes.len() > 1;
            causes.sort_by_key(Value::to_string);
            if several {
                one["message"] = "".into();
            }
        }
    }
    ours == theirs
}
