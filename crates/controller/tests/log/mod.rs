//! What is said in the log, line by line, on the thread of one test.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber, span};

/// The lines of level INFO and above, from now until it is dropped. The test needs a runtime of one thread.
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    _guard: DefaultGuard,
}

impl Log {
    pub fn capture() -> Log {
        let lines = Arc::default();
        let guard = tracing::subscriber::set_default(Lines { lines: Arc::clone(&lines) });
        Log { lines, _guard: guard }
    }

    /// The lines that contain a text.
    pub fn lines(&self, part: &str) -> Vec<String> {
        let lines = self.lines.lock().expect("no holder panics");
        lines.iter().filter(|line| line.contains(part)).cloned().collect()
    }
}

struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let written = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        written.expect("a text can be written to");
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("everynode")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(format!(" {} ", event.metadata().level()));
        event.record(&mut text);
        eprintln!("{}", text.0);
        self.lines.lock().expect("no holder panics").push(text.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
