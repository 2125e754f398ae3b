//! Tables of what is watched: drawn over each other on a terminal, printed below each other elsewhere.

use std::io::{self, IsTerminal};

use everynode_inspect::{Paint, Tone};

use super::page::Page;
use crate::out::Output;

/// The column in which a note goes on.
const NOTE_INDENT: usize = 16;

/// Where the tables go.
pub struct Tables {
    page: Option<Page>,
    output: Output,
    last: Table,
}

/// One table.
#[derive(Default)]
pub struct Table {
    /// As it is shown.
    pub text: String,
    /// What it says, without what time alone changes.
    pub fingerprint: String,
}

impl Tables {
    /// Takes the terminal over, where there is one and people are to read.
    pub fn open(output: Output) -> io::Result<Tables> {
        let is_page = io::stdout().is_terminal() && output.is_for_people();
        let page = if is_page { Some(Page::open()?) } else { None };
        Ok(Tables { page, output, last: Table::default() })
    }

    /// How many lines there is room for, where that matters.
    pub fn height(&self) -> Option<usize> {
        self.page.as_ref().map(|_| Page::height())
    }

    /// Draws it, or prints it below the one before when it says something else; false when nobody reads.
    pub fn show(&mut self, table: Table) -> io::Result<bool> {
        let between = if self.output == Output::Yaml { "---\n" } else { "\n" };
        let is_read = match &mut self.page {
            Some(page) => page.draw(&table.text).map(|()| true)?,
            None if table.fingerprint == self.last.fingerprint => true,
            None if self.last.fingerprint.is_empty() => self.output.say(&table.text),
            None => self.output.say(&format!("{between}{}", table.text)),
        };
        self.last = table;
        Ok(is_read)
    }

    /// Gives the terminal back, with the last table on it.
    pub fn close(mut self) {
        if self.page.take().is_some() {
            self.output.say(&self.last.text);
        }
    }
}

/// The line below a table that is no longer how things stand.
pub fn not_up_to_date(why: &str, paint: &Paint) -> String {
    let why = paint.fold(&format!("{why}. The cluster is asked again."), NOTE_INDENT);
    format!("{}: {why}\n", paint.tone(Tone::Bad, "Not up to date"))
}
