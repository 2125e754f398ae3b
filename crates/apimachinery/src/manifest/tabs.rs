//! Tabs that stand where YAML wants spaces. The parser passes over some of them; kubectl's refuses them all.

use super::error::YamlError;

/// The lines of a text that are indented by a tab, and those of them in which that means nothing.
pub struct Tabs {
    /// Line, counted from 1, and the spaces before its first tab.
    lines: Vec<(usize, usize)>,
}

impl Tabs {
    pub fn of(text: &str) -> Tabs {
        let indented = |line: &str| {
            let spaces = line.len() - line.trim_start_matches(' ').len();
            line[spaces..].starts_with('\t').then_some(spaces)
        };
        let found = |(index, line)| indented(line).map(|spaces| (index + 1, spaces));
        Tabs { lines: text.lines().enumerate().filter_map(found).collect() }
    }

    /// Whether there are none that matter.
    pub fn are_none(&self) -> bool {
        self.lines.is_empty()
    }

    /// The lines behind `first` up to `last` are within something that may hold tabs behind `spaces` spaces.
    pub fn allow(&mut self, first: usize, last: usize, spaces: usize) {
        self.lines.retain(|(line, before)| *line <= first || *line > last || *before < spaces);
    }

    /// Refuses what was not allowed.
    pub fn check(&self) -> Result<(), YamlError> {
        match self.lines.first() {
            None => Ok(()),
            Some((line, _)) => Err(YamlError {
                line: *line,
                problem: "found a tab character that violates indentation".into(),
            }),
        }
    }
}
