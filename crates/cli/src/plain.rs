//! Text of others on a terminal. Names and messages of pods, nodes, events and snapshots may hold escape sequences,
//! carriage returns and marks that turn the direction of writing, with which they could fake whole lines of what a
//! command says. They are shown, never sent. Formats for programs have everything as it is.

use std::borrow::Cow;

use everynode_inspect::events::EventLine;
use everynode_local::up::model::Snapshot;
use everynode_plan::Fleet;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The colours that commands use themselves (`everynode_inspect::Paint`).
const COLOURS: [&str; 7] = ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[34m"];

/// Whether a character acts on the terminal, or on the order in which text is read.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}')
}

/// A text of others on one line.
pub fn line(text: &str) -> Cow<'_, str> {
    shown(text, |_| None)
}

/// What a command says, with its lines and colours.
pub fn text(text: &str) -> Cow<'_, str> {
    shown(text, |rest| {
        let colour = COLOURS.into_iter().find(|colour| rest.starts_with(colour));
        colour.or_else(|| rest.starts_with('\n').then_some("\n")).map(str::len)
    })
}

/// Shows what acts, but for what is allowed: so many bytes at the beginning of the rest.
fn shown(text: &str, allowed: impl Fn(&str) -> Option<usize>) -> Cow<'_, str> {
    if !text.contains(acts) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(acts) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = allowed(rest);
        let first = rest.chars().next().map_or(0, char::len_utf8);
        match length {
            Some(length) => out.push_str(&rest[..length]),
            None => out.extend(rest[..first].escape_default()),
        }
        rest = &rest[length.unwrap_or(first)..];
    }
    out.push_str(rest);
    out.into()
}

fn clean<T: AsRef<str> + From<String>>(text: &mut T) {
    if (*text).as_ref().contains(acts) {
        *text = line((*text).as_ref()).into_owned().into();
    }
}

/// Brings all texts within a value onto one line each.
fn clean_all<T: Serialize + DeserializeOwned>(value: &mut T) {
    fn walk(value: &mut Value) {
        match value {
            Value::String(text) => clean(text),
            Value::Array(items) => items.iter_mut().for_each(walk),
            Value::Object(fields) => fields.values_mut().for_each(walk),
            _ => {}
        }
    }
    let Ok(mut all) = serde_json::to_value(&*value) else { return };
    walk(&mut all);
    if let Ok(cleaned) = serde_json::from_value(all) {
        *value = cleaned;
    }
}

/// Brings what nodes, pods and DaemonSets say onto one line each. What decides anything stays as it is.
pub fn clean_fleet(fleet: &mut Fleet) {
    for node in &mut fleet.nodes {
        [&mut node.name, &mut node.ready].into_iter().for_each(clean);
        clean(&mut node.ready_message);
        let taints = node.taints.iter_mut();
        taints.for_each(|taint| {
            [&mut taint.key, &mut taint.value, &mut taint.effect].into_iter().for_each(clean)
        });
    }
    for pod in &mut fleet.pods {
        [&mut pod.namespace, &mut pod.phase].into_iter().for_each(clean);
        [&mut pod.name, &mut pod.waiting].into_iter().for_each(clean);
        pod.node.iter_mut().for_each(clean);
        pod.detail.iter_mut().for_each(|detail| clean_all(&mut **detail));
    }
    for object in &mut fleet.daemonsets {
        ["/metadata/name", "/metadata/namespace", "/status"]
            .iter()
            .for_each(|pointer| object.pointer_mut(pointer).into_iter().for_each(clean_all));
    }
    clean_all(&mut fleet.unseen);
}

/// Brings what events say onto one line each.
pub fn clean_events(events: &mut [EventLine]) {
    events.iter_mut().for_each(|event| [&mut event.reason, &mut event.message].into_iter().for_each(clean));
}

/// What `up` shows, each text on one line.
pub fn snapshot(snapshot: &Snapshot) -> Snapshot {
    let mut snapshot = snapshot.clone();
    for row in &mut snapshot.daemonsets {
        [&mut row.namespace, &mut row.name].into_iter().chain(&mut row.reasons).for_each(clean);
    }
    for event in &mut snapshot.events {
        [&mut event.object, &mut event.reason, &mut event.message].into_iter().for_each(clean);
    }
    snapshot
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_shown() {
        let check = |given: &str, as_line: &str, as_text: &str| {
            assert_eq!((&*line(given), &*text(given)), (as_line, as_text), "{given:?}");
        };
        check("plain, über", "plain, über", "plain, über");
        check("a\nb", "a\\nb", "a\nb");
        check("a\rb\x08\x7f", "a\\rb\\u{8}\\u{7f}", "a\\rb\\u{8}\\u{7f}");
        check("\x1b[31mred\x1b[0m", "\\u{1b}[31mred\\u{1b}[0m", "\x1b[31mred\x1b[0m");
        check("\x1b[8mhidden", "\\u{1b}[8mhidden", "\\u{1b}[8mhidden");
        check(
            "\x1b]0;title\x07\x1b[2J",
            "\\u{1b}]0;title\\u{7}\\u{1b}[2J",
            "\\u{1b}]0;title\\u{7}\\u{1b}[2J",
        );
        check("\u{9b}2J", "\\u{9b}2J", "\\u{9b}2J");
        check("a\u{202e}b\u{2066}", "a\\u{202e}b\\u{2066}", "a\\u{202e}b\\u{2066}");
        check("a\u{2028}b\u{200b}", "a\\u{2028}b\\u{200b}", "a\\u{2028}b\\u{200b}");
    }

    #[test]
    fn a_snapshot_of_up_has_one_line_for_each_text() {
        let event = everynode_local::up::model::EventLine {
            warning: false,
            object: "Pod/a\n".into(),
            reason: "Back\rOff".into(),
            message: "x\nDaemonSet is fine\x1b[1A".into(),
        };
        let shown = snapshot(&Snapshot { events: vec![event], ..Snapshot::default() });
        let event = &shown.events[0];
        let texts = [&event.object, &event.reason, &event.message];
        assert!(texts.iter().all(|text| !text.contains(acts)), "{texts:?}");
    }
}
