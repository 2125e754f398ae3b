//! The live view of `up`: a row per DaemonSet, a strip of nodes, the last events.

mod page;
pub mod report;
mod screen;
pub mod tables;

pub use screen::{Screen, restore_terminal};

use everynode_local::up::model::{DaemonSetRow, EventLine, NodeState, Snapshot};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

/// What stands above and below the moving parts.
#[derive(Debug, Clone, Default)]
pub struct Header {
    /// Address of the API, such as `https://127.0.0.1:7443`.
    pub server: String,
    /// Path of the kubeconfig.
    pub kubeconfig: String,
    /// Where the state is kept, or that it is not.
    pub state: String,
    /// Address of the dashboard, when it is served.
    pub dashboard: Option<String>,
    /// How many documents of the manifests were refused.
    pub refused: usize,
    /// Why the store takes no more writes, when it does not.
    pub write_failure: Option<String>,
    /// Whether colours may be used.
    pub colour: bool,
}

/// Below this many columns the table shows neither namespaces nor bars.
const NARROW: u16 = 72;

/// Draws one frame.
pub fn draw(frame: &mut Frame<'_>, header: &Header, snapshot: &Snapshot) {
    let area = frame.area();
    let strip = strip_height(snapshot.nodes.len(), area.width);
    // The rows get what the other parts leave; two lines of events give way to them.
    let top = 3 + u16::from(header.dashboard.is_some());
    let room = area.height.saturating_sub(top + strip + 2 + 2 + 1).max(3);
    let rows = u16::try_from(snapshot.daemonsets.len()).unwrap_or(u16::MAX).saturating_add(2).min(room);
    let [top, table, nodes, events, bottom] = Layout::vertical([
        Constraint::Length(top),
        Constraint::Length(rows),
        Constraint::Length(strip + 2),
        Constraint::Min(2),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_header(frame, top, header, snapshot);
    draw_daemonsets(frame, table, header, &snapshot.daemonsets);
    draw_nodes(frame, nodes, header, snapshot);
    draw_events(frame, events, header, &snapshot.events);
    let line = format!("Ctrl-C stops the cluster; {}.", header.state);
    frame.render_widget(Paragraph::new(line).style(dim()), bottom);
}

fn draw_header(frame: &mut Frame<'_>, area: Rect, header: &Header, snapshot: &Snapshot) {
    let nodes = snapshot.nodes.len();
    let first = Line::from(vec![
        Span::styled("everynode", Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!("  {}  {nodes} {}", header.server, if nodes == 1 { "node" } else { "nodes" })),
    ]);
    let mut lines = vec![first, Line::raw(format!("export KUBECONFIG={}", header.kubeconfig))];
    lines.extend(header.dashboard.as_ref().map(|url| Line::raw(format!("dashboard  {url}"))));
    if let Some(reason) = &header.write_failure {
        let text = format!("No more writes: {reason}. Reads go on; make room, then start again.");
        lines.push(Line::styled(text, paint(header.colour, Color::Red)));
    } else if header.refused > 0 {
        let text = format!(
            "{} {} refused; the reasons are shown when this view ends.",
            header.refused,
            if header.refused == 1 { "document was" } else { "documents were" }
        );
        lines.push(Line::styled(text, paint(header.colour, Color::Red)));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_daemonsets(frame: &mut Frame<'_>, area: Rect, header: &Header, daemonsets: &[DaemonSetRow]) {
    if daemonsets.is_empty() {
        let text = "No DaemonSet yet: kubectl apply -f FILE, or start with `up -f FILE`.";
        frame.render_widget(Paragraph::new(text).style(dim()), area);
        return;
    }
    let titles = ["NAMESPACE", "NAME", "DESIRED", "READY", "UPDATED", "AVAILABLE", ""];
    let namespace = if area.width < NARROW { 0 } else { 16 };
    let bar = if area.width < NARROW { 0 } else { 12 };
    // What the other columns and the gaps between them leave.
    let name = area.width.saturating_sub(namespace + bar + 7 + 6 + 7 + 9 + 6);
    let widths = [namespace, name, 7, 6, 7, 9, bar].map(Constraint::Length);
    let (shown, hidden) = rows_shown(daemonsets, usize::from(area.height).saturating_sub(1));
    let rows = shown.iter().map(|row| daemonset_row(row, name, header.colour));
    let table = Table::new(rows, widths).header(Row::new(titles).style(dim()));
    frame.render_widget(table, area);
    if hidden > 0 {
        let below = u16::try_from(shown.len()).unwrap_or(u16::MAX).saturating_add(1);
        let line = Rect { y: area.y.saturating_add(below), height: 1, ..area }.intersection(area);
        frame.render_widget(Paragraph::new(hidden_rows(daemonsets, &shown)).style(dim()), line);
    }
}

/// As many DaemonSets as there is room for, and the number of others. Those that are not available are shown
/// first where not all fit; one line of the room is left for the others' number.
fn rows_shown(daemonsets: &[DaemonSetRow], room: usize) -> (Vec<&DaemonSetRow>, usize) {
    let mut rows: Vec<_> = daemonsets.iter().collect();
    if rows.len() <= room {
        return (rows, 0);
    }
    rows.sort_by_key(|row| row.is_available());
    rows.truncate(room.saturating_sub(1));
    let hidden = daemonsets.len() - rows.len();
    (rows, hidden)
}

fn hidden_rows(daemonsets: &[DaemonSetRow], shown: &[&DaemonSetRow]) -> String {
    let available = |rows: &mut dyn Iterator<Item = &DaemonSetRow>| rows.filter(|r| r.is_available()).count();
    let hidden = daemonsets.len() - shown.len();
    let done = available(&mut daemonsets.iter()) - available(&mut shown.iter().copied());
    format!("and {hidden} more, {done} available")
}

fn daemonset_row(row: &DaemonSetRow, name_width: u16, colour: bool) -> Row<'_> {
    let done = row.available.min(row.up_to_date);
    let colour_of_bar = match (row.is_available(), row.reasons.is_empty()) {
        (true, _) => Color::Green,
        (false, true) => Color::Blue,
        (false, false) => Color::Yellow,
    };
    let bar = Span::styled(progress_bar(done, row.desired), paint(colour, colour_of_bar));
    Row::new(vec![
        Cell::from(shorten(&row.namespace, 16)),
        Cell::from(shorten(&row.name, usize::from(name_width))),
        Cell::from(format!("{:>7}", row.desired)),
        Cell::from(format!("{:>5}", row.ready)),
        Cell::from(format!("{:>7}", row.up_to_date)),
        Cell::from(format!("{:>9}", row.available)),
        Cell::from(bar),
    ])
}

/// A bar of twelve cells, full when `done` reaches `desired`.
fn progress_bar(done: i64, desired: i64) -> String {
    const CELLS: i64 = 12;
    let filled = if desired <= 0 { CELLS } else { (done.clamp(0, desired) * CELLS) / desired };
    let (filled, empty) = (filled as usize, (CELLS - filled) as usize);
    format!("{}{}", "━".repeat(filled), "┄".repeat(empty))
}

/// Rows of the strip of nodes: one cell per node, at most four rows.
fn strip_height(nodes: usize, width: u16) -> u16 {
    let rows = nodes.div_ceil(usize::from(width.max(1)));
    u16::try_from(rows.clamp(1, 4)).unwrap_or(4)
}

fn draw_nodes(frame: &mut Frame<'_>, area: Rect, header: &Header, snapshot: &Snapshot) {
    let cells = usize::from(area.width) * usize::from(area.height.saturating_sub(2));
    let shown = snapshot.nodes.iter().take(cells);
    let strip: Vec<Span<'_>> = shown
        .map(|cell| Span::styled(node_symbol(cell.state), paint(header.colour, node_colour(cell.state))))
        .collect();
    let width = usize::from(area.width.max(1));
    let mut lines = vec![Line::from(node_counts(header, snapshot))];
    lines.extend(strip.chunks(width).map(|chunk| Line::from(chunk.to_vec())));
    if snapshot.nodes.len() > cells {
        lines.push(Line::styled(format!("and {} more", snapshot.nodes.len() - cells), dim()));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn node_counts(header: &Header, snapshot: &Snapshot) -> Vec<Span<'static>> {
    let states = [
        (NodeState::Available, "available"),
        (NodeState::Progressing, "progressing"),
        (NodeState::Failing, "failing"),
        (NodeState::Empty, "without a daemon"),
        (NodeState::NotReady, "not ready"),
    ];
    let mut spans = vec![Span::styled("NODES ", dim())];
    for (state, text) in states {
        let count = snapshot.nodes.iter().filter(|cell| cell.state == state).count();
        if count > 0 {
            spans.push(Span::styled(node_symbol(state), paint(header.colour, node_colour(state))));
            spans.push(Span::raw(format!(" {count} {text}  ")));
        }
    }
    spans
}

fn node_symbol(state: NodeState) -> &'static str {
    match state {
        NodeState::Available => "■",
        NodeState::Progressing => "▪",
        NodeState::Failing => "✗",
        NodeState::Empty => "·",
        NodeState::NotReady => "□",
    }
}

fn node_colour(state: NodeState) -> Color {
    match state {
        NodeState::Available => Color::Green,
        NodeState::Progressing => Color::Blue,
        NodeState::Failing => Color::Red,
        NodeState::Empty => Color::DarkGray,
        NodeState::NotReady => Color::Magenta,
    }
}

fn draw_events(frame: &mut Frame<'_>, area: Rect, header: &Header, events: &[EventLine]) {
    let room = usize::from(area.height).saturating_sub(1);
    let skipped = events.len().saturating_sub(room);
    let width = usize::from(area.width);
    let mut lines = vec![Line::styled("EVENTS", dim())];
    for event in &events[skipped..] {
        let style = if event.warning { paint(header.colour, Color::Yellow) } else { Style::new() };
        let reason = format!("{:<18} ", event.reason);
        let rest = format!("{}: {}", event.object, event.message);
        let rest = shorten(&rest, width.saturating_sub(reason.chars().count()));
        lines.push(Line::from(vec![Span::styled(reason, style), Span::raw(rest)]));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// The text on one line of `width` characters, with an ellipsis where it is cut.
fn shorten(text: &str, width: usize) -> String {
    let text = text.replace(['\n', '\r', '\t'], " ");
    if text.chars().count() <= width {
        return text;
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn paint(colour: bool, value: Color) -> Style {
    if colour { Style::new().fg(value) } else { Style::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use everynode_local::up::model::NodeCell;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn screen(snapshot: &Snapshot) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(80, 16)).unwrap();
        let header = Header {
            server: "https://127.0.0.1:7443".into(),
            kubeconfig: "/home/me/.local/share/everynode/kubeconfig".into(),
            state: "its state stays".into(),
            colour: true,
            ..Header::default()
        };
        terminal.draw(|frame| draw(frame, &header, snapshot)).unwrap();
        let buffer = terminal.backend().buffer();
        let row = |y| (0..80).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..16).map(row).collect()
    }

    #[test]
    fn a_daemonset_fills_one_row_of_eighty_columns() {
        let row = DaemonSetRow {
            namespace: "kube-system".into(),
            name: "network-plugin".into(),
            desired: 4,
            current: 4,
            ready: 3,
            up_to_date: 2,
            available: 3,
            ..DaemonSetRow::default()
        };
        let node = |state| NodeCell { name: "n".into(), state };
        let nodes = vec![node(NodeState::Available), node(NodeState::NotReady)];
        let lines = screen(&Snapshot { daemonsets: vec![row], nodes, events: Vec::new() });
        assert_eq!(lines[3], "NAMESPACE        NAME              DESIRED READY  UPDATED AVAILABLE");
        assert_eq!(
            lines[4],
            "kube-system      network-plugin          4     3        2         3 ━━━━━━┄┄┄┄┄┄"
        );
        assert!(lines.iter().any(|line| line == "■□"), "{lines:#?}");
    }

    #[test]
    fn what_does_not_fit_is_counted_and_what_is_not_available_comes_first() {
        let row = |number: i64| DaemonSetRow {
            name: format!("agent-{number}"),
            desired: 1,
            current: 1,
            up_to_date: 1,
            available: i64::from(number != 7),
            ..DaemonSetRow::default()
        };
        let daemonsets: Vec<_> = (0..20).map(row).collect();
        let lines = screen(&Snapshot { daemonsets, ..Snapshot::default() });
        assert!(lines[4].contains("agent-7 "), "{lines:#?}");
        assert!(lines.contains(&"and 15 more, 15 available".to_owned()), "{lines:#?}");
    }

    #[test]
    fn a_long_text_ends_in_an_ellipsis() {
        assert_eq!(shorten("node-1", 6), "node-1");
        assert_eq!(shorten("node-10", 6), "node-…");
        assert_eq!(shorten("one\ntwo", 9), "one two");
    }

    #[test]
    fn an_empty_cluster_says_what_to_do() {
        let lines = screen(&Snapshot::default());
        assert!(lines.iter().any(|line| line.contains("kubectl apply -f")), "{lines:#?}");
    }

    #[test]
    fn a_progress_bar_is_full_only_at_the_end() {
        assert_eq!(progress_bar(99, 100), "━━━━━━━━━━━┄");
        assert_eq!(progress_bar(100, 100), "━━━━━━━━━━━━");
        assert_eq!(progress_bar(0, 0), "━━━━━━━━━━━━");
    }
}
