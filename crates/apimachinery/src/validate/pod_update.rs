//! What may change in a pod.

use std::collections::HashSet;

use everynode_model::Value;
use everynode_model::access::{Fill, Read};

use super::{Errors, Path, Report, internal, pod_spec, scheduling};

/// Fields of a pod that an update may change, as the API lists them.
const MAY_CHANGE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Checks an update of a pod against the stored one.
pub(crate) fn update(new: &Value, old: &Value, errors: &mut Errors) {
    annotations(new, old, errors);
    let empty = Value::Object(everynode_model::Object::new());
    let (new, old) = (new.at("spec").unwrap_or(&empty), old.at("spec").unwrap_or(&empty));
    let path = Path::root("spec");
    for list in ["containers", "initContainers"] {
        if new.items(list).len() != old.items(list).len() {
            return errors.forbidden(path.child(list), "pod updates may not add or remove containers");
        }
        images(new.items(list), &path.child(list), errors);
    }
    if !deadline(new, old, &path.child("activeDeadlineSeconds"), errors) {
        return;
    }
    added_tolerations(new, old, &path.child("tolerations"), errors);
    removed_gates(new, old, &path.child("schedulingGates"), errors);
    if new == old {
        return;
    }
    let munged = with_allowed_changes_undone(new, old, &path, errors);
    if munged != *old {
        let diff = unified_diff(&pretty(old), &pretty(&munged));
        errors.forbidden(path, &format!("pod updates may not change fields other than {MAY_CHANGE}\n{diff}"));
    }
}

fn annotations(new: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::root("metadata.annotations");
    let empty = Value::Null;
    let value = |object: &Value, key: &str| {
        object.pointer("/metadata/annotations").unwrap_or(&empty).get(key).cloned()
    };
    let mirror = "kubernetes.io/config.mirror";
    match (value(old, mirror), value(new, mirror)) {
        (Some(before), after) if after.as_ref() != Some(&before) => {
            errors.forbidden(path.key(mirror), "may not remove or update mirror pod annotation");
        }
        (None, Some(_)) => errors.forbidden(path.key(mirror), "may not add mirror pod annotation"),
        _ => {}
    }
    let metadata = new.get("metadata").unwrap_or(&empty);
    pod_spec::special_annotations(metadata, new.get("spec").unwrap_or(&empty), &path, errors);
}

fn images(containers: &[Value], path: &Path<'_>, errors: &mut Errors) {
    for (index, container) in containers.iter().enumerate() {
        let image = container.text("image");
        let item = path.index(index);
        if image.is_empty() {
            errors.required(item.child("image"), "");
        }
        trimmed(image, &item.child("image"), errors);
    }
}

/// Images of pods, other than those of templates, have no blanks around them.
pub(crate) fn trimmed(image: &str, path: &Path<'_>, errors: &mut Errors) {
    if image.trim() != image {
        errors.invalid(path, image, "must not have leading or trailing whitespace");
    }
}

/// The deadline may come nearer. False when the API looks no further.
fn deadline(new: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) -> bool {
    const FIELD: &str = "activeDeadlineSeconds";
    match (new.number_opt(FIELD), old.number_opt(FIELD)) {
        (Some(after), Some(before)) if before < after => {
            errors.invalid(path, after, "must be less than or equal to previous value");
            false
        }
        (None, Some(_)) => {
            let message = "must not update from a positive integer to nil value";
            errors.invalid(path, Value::Null, message);
            true
        }
        _ => true,
    }
}

fn added_tolerations(new: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) {
    let without_seconds = |toleration: &Value| {
        let mut toleration = toleration.clone();
        toleration.take_out("tolerationSeconds");
        toleration
    };
    let after: HashSet<Value> = new.items("tolerations").iter().map(without_seconds).collect();
    if old.items("tolerations").iter().any(|before| !after.contains(&without_seconds(before))) {
        let message = "existing toleration can not be modified except its tolerationSeconds";
        return errors.forbidden(path, message);
    }
    scheduling::tolerations(new.items("tolerations"), path, errors);
}

fn removed_gates(new: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) {
    let known: HashSet<&str> = old.items("schedulingGates").iter().map(|gate| gate.text("name")).collect();
    for (index, gate) in new.items("schedulingGates").iter().enumerate() {
        let name = gate.text("name");
        if !known.contains(name) {
            let message = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.forbidden(path.index(index).child("name"), &message);
        }
    }
}

fn with_allowed_changes_undone(new: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) -> Value {
    let mut munged = new.clone();
    for list in ["containers", "initContainers"] {
        for (container, before) in munged.items_mut(list).iter_mut().zip(old.items(list)) {
            container.put("image", before.text("image"));
        }
    }
    let mut undo = |field: &str| match old.get(field) {
        Some(value) => munged.put(field, value.clone()),
        None => drop(munged.take_out(field)),
    };
    undo("activeDeadlineSeconds");
    undo("schedulingGates");
    undo("tolerations");
    let grace = "terminationGracePeriodSeconds";
    if old.number(grace) < 0 && new.number(grace) == 1 {
        undo(grace);
    }
    if !old.items("schedulingGates").is_empty() {
        let selector = "nodeSelector";
        let kept = old
            .entries(selector)
            .all(|(key, value)| new.get(selector).and_then(|selector| selector.get(key)) == Some(value));
        if !kept {
            let message = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
            let shown = new.get(selector).cloned().unwrap_or_default();
            errors.invalid(path.child(selector), shown, message);
        }
        undo(selector);
    }
    munged
}

/// The unversioned form, one field per line, as the API compares pods.
fn pretty(spec: &Value) -> String {
    let mut out = String::new();
    write_pretty(&mut out, &internal::form("core.v1.PodSpec", spec), 0);
    out
}

fn write_pretty(out: &mut String, value: &Value, depth: usize) {
    let indent = |out: &mut String, depth: usize| out.extend(std::iter::repeat_n(' ', depth));
    let line = |out: &mut String, first: bool| out.push_str(if first { "\n" } else { ",\n" });
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                line(out, index == 0);
                indent(out, depth + 1);
                write_pretty(out, item, depth + 1);
            }
            out.push('\n');
            indent(out, depth);
            out.push(']');
        }
        Value::Object(object) if !object.is_empty() => {
            out.push('{');
            for (index, (key, item)) in object.iter().enumerate() {
                line(out, index == 0);
                indent(out, depth + 1);
                out.push_str(&everynode_model::encode::to_text(&key.as_str().into()));
                out.push_str(": ");
                write_pretty(out, item, depth + 1);
            }
            out.push('\n');
            indent(out, depth);
            out.push('}');
        }
        other => out.push_str(&everynode_model::encode::to_text(other)),
    }
}

/// Lines of context around a change.
const CONTEXT_LINES: usize = 3;

/// A unified diff without file names.
fn unified_diff(old: &str, new: &str) -> String {
    let old: Vec<&str> = old.lines().collect();
    let new: Vec<&str> = new.lines().collect();
    let edits = edits(&old, &new);
    let mut out = String::new();
    let mut at = 0;
    while let Some(first) = (at..edits.len()).find(|&index| edits[index].0 != ' ') {
        let start = first.saturating_sub(CONTEXT_LINES).max(at);
        let mut end = first + 1;
        let mut equal = 0;
        while end < edits.len() && equal <= 2 * CONTEXT_LINES {
            equal = if edits[end].0 == ' ' { equal + 1 } else { 0 };
            end += 1;
        }
        let end = end - equal.saturating_sub(CONTEXT_LINES);
        write_hunk(&mut out, &edits, start, end);
        at = end;
    }
    out
}

fn write_hunk(out: &mut String, edits: &[(char, &str)], start: usize, end: usize) {
    let count =
        |range: &[(char, &str)], without: char| range.iter().filter(|(sign, _)| *sign != without).count();
    let (before, hunk) = (&edits[..start], &edits[start..end]);
    let range = |without: char| {
        let (first, lines) = (count(before, without), count(hunk, without));
        let first = if lines == 0 { first } else { first + 1 };
        if lines == 1 { first.to_string() } else { format!("{first},{lines}") }
    };
    out.push_str(&format!("@@ -{} +{} @@\n", range('+'), range('-')));
    for (sign, line) in hunk {
        out.push(*sign);
        out.push_str(line);
        out.push('\n');
    }
}

/// The most lines that are compared line by line; longer texts differ as a whole.
const MAX_LINES: usize = 4000;

/// Lines that stay (' '), go ('-') and come ('+'), by a longest common subsequence between the common
/// beginning and end.
fn edits<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut out: Vec<(char, &str)> = old[..head].iter().map(|line| (' ', *line)).collect();
    if a.len() > MAX_LINES || b.len() > MAX_LINES {
        out.extend(a.iter().map(|line| ('-', *line)));
        out.extend(b.iter().map(|line| ('+', *line)));
    } else {
        middle(a, b, &mut out);
    }
    out.extend(old[old.len() - tail..].iter().map(|line| (' ', *line)));
    out
}

fn middle<'a>(a: &[&'a str], b: &[&'a str], out: &mut Vec<(char, &'a str)>) {
    let width = b.len() + 1;
    let mut common = vec![0u16; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i * width + j] = if a[i] == b[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            out.push((' ', a[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < a.len() && (j == b.len() || common[(i + 1) * width + j] >= common[i * width + j + 1]) {
            out.push(('-', a[i]));
            i += 1;
        } else {
            out.push(('+', b[j]));
            j += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_line_is_shown_with_three_lines_around_it() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9";
        let new = "1\n2\n3\n4\nfive\n5b\n6\n7\n8\n9";
        assert_eq!(unified_diff(old, new), "@@ -2,7 +2,8 @@\n 2\n 3\n 4\n-5\n+five\n+5b\n 6\n 7\n 8\n");
        assert_eq!(unified_diff(old, old), "");
    }
}
