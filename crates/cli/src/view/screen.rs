//! The terminal behind the live view: the alternate screen, restored however the program ends.

use std::io::{self, Stdout};
use std::sync::atomic::{AtomicBool, Ordering};

use everynode_local::up::model::Snapshot;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::crossterm::terminal::{
    EnableLineWrap, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};
use tokio_util::sync::CancellationToken;

use super::{Header, draw};

/// How long the thread that reads keys waits before it looks whether it should end.
const KEY_POLL_MILLIS: u64 = 100;

/// Some part of this process has the terminal.
pub(super) static TAKEN: AtomicBool = AtomicBool::new(false);

/// A terminal in the alternate screen. Dropping it gives the terminal back.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal over. Ctrl-C, `q` and Escape cancel `stop`.
    pub fn open(stop: CancellationToken) -> io::Result<Screen> {
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::Relaxed);
        let restore = RestoreOnError(true);
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        std::thread::Builder::new().name("keys".into()).spawn(move || read_keys(&stop))?;
        restore.disarm();
        Ok(Screen { terminal })
    }

    /// Draws one frame.
    pub fn draw(&mut self, header: &Header, snapshot: &Snapshot) -> io::Result<()> {
        self.terminal.draw(|frame| draw(frame, header, snapshot)).map(|_| ())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore_terminal();
    }
}

struct RestoreOnError(bool);

impl RestoreOnError {
    fn disarm(mut self) {
        self.0 = false;
    }
}

impl Drop for RestoreOnError {
    fn drop(&mut self) {
        if self.0 {
            restore_terminal();
        }
    }
}

/// Gives the terminal back where it was taken over, before the process ends without unwinding.
pub fn restore_terminal() {
    if TAKEN.swap(false, Ordering::Relaxed) {
        restore();
    }
}

/// Best effort: there is nobody left to tell when the terminal itself is gone.
fn restore() {
    let _ = disable_raw_mode();
    let _ = execute!(io::stdout(), EnableLineWrap, LeaveAlternateScreen, cursor::Show);
}

fn read_keys(stop: &CancellationToken) {
    let wait = std::time::Duration::from_millis(KEY_POLL_MILLIS);
    while !stop.is_cancelled() {
        match event::poll(wait).and_then(|ready| if ready { event::read().map(Some) } else { Ok(None) }) {
            Ok(Some(Event::Key(key))) => {
                let interrupt =
                    key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                if interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                    stop.cancel();
                }
            }
            Ok(_) => {}
            Err(_) => stop.cancel(),
        }
    }
}
