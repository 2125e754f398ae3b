//! What commands print: in the form that was asked for, with colours where they are wanted.

use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use everynode_inspect::Paint;
use everynode_inspect::events::EventLine;
use everynode_inspect::yaml::to_yaml;
use everynode_plan::Fleet;
use ratatui::crossterm::terminal;
use serde_json::Value;

use crate::plain;

/// Formats of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// For people, with nothing left out
    Wide,
    /// For programs
    Json,
    /// For programs and people
    Yaml,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless the variable NO_COLOR is set or TERM is dumb
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Output {
    /// Whether it is read by people, and not by programs.
    pub fn is_for_people(self) -> bool {
        matches!(self, Output::Text | Output::Wide)
    }

    /// Says a text of this format; false when nobody reads any more.
    pub fn say(self, text: &str) -> bool {
        if self.is_for_people() { say(text) } else { say_raw(text) }
    }

    /// A fleet for an answer of this format: for people, what nodes, pods and DaemonSets say is brought onto one line
    /// each.
    pub fn fleet(self, mut fleet: Fleet) -> Fleet {
        if self.is_for_people() {
            plain::clean_fleet(&mut fleet);
        }
        fleet
    }

    /// Events for an answer of this format: for people, each text is brought onto one line.
    pub fn events(self, mut events: Vec<EventLine>) -> Vec<EventLine> {
        if self.is_for_people() {
            plain::clean_events(&mut events);
        }
        events
    }

    /// A value as text of a format for programs; `None` for those for people.
    pub fn of(self, value: &Value) -> Option<String> {
        match self {
            Output::Text | Output::Wide => None,
            Output::Json => Some(format!("{value:#}\n")),
            Output::Yaml => Some(to_yaml(value)),
        }
    }
}

impl Colour {
    /// Whether standard output gets colours.
    fn is_wanted(self) -> bool {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match self {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => {
                let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                std::io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
            }
        }
    }

    /// How text for standard output is made: folded on a terminal, as it is in a pipe.
    pub fn paint(self, output: Output) -> Paint {
        let is_terminal = std::io::stdout().is_terminal();
        let width = terminal::size().ok().filter(|_| is_terminal).map(|(columns, _)| usize::from(columns));
        let is_wide = output == Output::Wide;
        Paint { colour: self.is_wanted(), width: width.filter(|width| *width > 0), wide: is_wide }
    }
}

/// Says something to people; false when nobody reads any more.
pub fn say(text: &str) -> bool {
    say_raw(&plain::text(text))
}

/// Writes to standard output as it is, for programs; false when its reader has gone away, which ends a command and is
/// no failure.
pub fn say_raw(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}
