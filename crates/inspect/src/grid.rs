//! The nodes of a DaemonSet as a grid: a symbol per node, by zone or by any label.

use std::collections::BTreeMap;

use everynode_plan::Fleet;

use crate::cells::Cell;
use crate::paint::{Paint, Tone};
use crate::reason::Class;
use crate::status::Row;

/// The label by which nodes are grouped unless another one is named.
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// Columns of a grid that is not on a terminal.
const COLUMNS: usize = 80;

/// The grid of one DaemonSet, with its legend.
pub fn grid(row: &Row, fleet: &Fleet, label: &str, paint: &Paint) -> String {
    let labels: BTreeMap<&str, Option<&str>> =
        fleet.nodes.iter().map(|node| (&*node.name, node.labels.get(label))).collect();
    let is_used = labels.values().any(Option::is_some);
    let mut groups: BTreeMap<(bool, &str), Vec<Class>> = BTreeMap::new();
    for Cell { node, class, .. } in &row.cells {
        let value = labels.get(&**node).copied().flatten();
        // Those without the label come last.
        groups.entry((value.is_none(), value.unwrap_or(""))).or_default().push(*class);
    }
    let name = |(is_without, value): &(bool, &str)| match (is_without, is_used) {
        (false, _) => (*value).to_owned(),
        (true, true) => "(none)".to_owned(),
        (true, false) => "all nodes".to_owned(),
    };
    let width = groups.keys().map(|key| name(key).chars().count()).max().unwrap_or(0);
    let room = paint.width.unwrap_or(COLUMNS).saturating_sub(width + 4).max(10);
    let mut out = legend(row, paint);
    for (key, classes) in &groups {
        let mut head = name(key);
        for chunk in classes.chunks(room) {
            out.push_str(&format!("  {head:<width$}  {}\n", cells(chunk, paint)));
            head.clear();
        }
    }
    out
}

fn legend(row: &Row, paint: &Paint) -> String {
    let title = format!("{}/{}", row.namespace, row.name);
    let mut parts = vec![paint.tone(Tone::Strong, &title)];
    for class in Class::ALL {
        let count = row.cells.iter().filter(|cell| cell.class == class).count();
        if count > 0 {
            let (symbol, tone, text) = look_of(class);
            parts.push(format!("{} {count} {text}", paint.tone(tone, symbol)));
        }
    }
    format!("{}\n", parts.join("  "))
}

/// Runs of equal cells share their colour.
fn cells(classes: &[Class], paint: &Paint) -> String {
    let runs = classes.chunk_by(|a, b| a == b);
    runs.filter_map(|run| {
        let (symbol, tone, _) = look_of(*run.first()?);
        Some(paint.tone(tone, &symbol.repeat(run.len())))
    })
    .collect()
}

fn look_of(class: Class) -> (&'static str, Tone, &'static str) {
    match class {
        Class::Available => ("■", Tone::Good, "available"),
        Class::Old => ("▪", Tone::Moving, "old"),
        Class::NotAvailable => ("✗", Tone::Bad, "not available"),
        Class::Missing => ("□", Tone::Bad, "without a pod"),
        Class::Misscheduled => ("!", Tone::Warning, "should not run it"),
        Class::NotEligible => ("·", Tone::Quiet, "not eligible"),
    }
}
