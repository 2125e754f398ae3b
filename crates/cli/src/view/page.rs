//! Text on the alternate screen of a terminal, drawn again and again in place.

use std::io::{self, Write};
use std::sync::atomic::Ordering;

use ratatui::crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EndSynchronizedUpdate, EnterAlternateScreen,
    size,
};
use ratatui::crossterm::{cursor, execute, queue};

use super::screen::{TAKEN, restore_terminal};
use crate::plain;

/// The alternate screen. Keys stay with the shell, so that Ctrl-C is a signal; dropping it gives the terminal back.
pub struct Page;

impl Page {
    /// Takes the screen over.
    pub fn open() -> io::Result<Page> {
        TAKEN.store(true, Ordering::Relaxed);
        let page = Page;
        execute!(io::stdout(), EnterAlternateScreen, DisableLineWrap, cursor::Hide)?;
        Ok(page)
    }

    /// How many lines there is room for.
    pub fn height() -> usize {
        size().map_or(24, |(_, rows)| usize::from(rows)).max(2)
    }

    /// Shows as many lines of a text as there is room for.
    pub fn draw(&mut self, text: &str) -> io::Result<()> {
        let height = Page::height();
        let text = plain::text(text);
        let lines: Vec<&str> = text.lines().collect();
        let shown = if lines.len() > height { height - 1 } else { lines.len() };
        let mut out = io::stdout().lock();
        queue!(out, BeginSynchronizedUpdate, cursor::MoveTo(0, 0))?;
        for (index, line) in lines[..shown].iter().enumerate() {
            // Cleared before, since behind a line of the full width the cursor stands on its last character.
            write!(out, "{}", if index == 0 { "" } else { "\r\n" })?;
            queue!(out, Clear(ClearType::UntilNewLine))?;
            write!(out, "{line}")?;
        }
        match lines.len() - shown {
            0 if shown < height => {
                write!(out, "\r\n")?;
                queue!(out, Clear(ClearType::FromCursorDown))?;
            }
            0 => {}
            more => {
                write!(out, "\r\n")?;
                queue!(out, Clear(ClearType::UntilNewLine))?;
                write!(out, "and {more} more lines")?;
            }
        }
        queue!(out, EndSynchronizedUpdate)?;
        out.flush()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        restore_terminal();
    }
}
