//! The file of the audit log and the thread that writes it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::{Counters, Message};

/// Bytes that are written at once when many lines wait.
const BATCH_BYTES: usize = 256 << 10;

/// Opens a log for appending.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

/// Writes lines until the log is closed or nobody can send any more.
pub fn run(file: impl Write, mut messages: mpsc::Receiver<Message>, counters: &Counters) {
    let mut batch = Batch { file, bytes: Vec::new(), lines: 0, torn: false, counters };
    while let Some(message) = messages.blocking_recv() {
        match message {
            Message::Event(event) => batch.add(&event),
            Message::Close(done) => {
                batch.write();
                let _ = done.send(());
                return;
            }
        }
        if messages.is_empty() || batch.bytes.len() >= BATCH_BYTES {
            batch.write();
        }
    }
}

struct Batch<'a, F> {
    file: F,
    bytes: Vec<u8>,
    lines: u64,
    /// The file may end in the middle of a line.
    torn: bool,
    counters: &'a Counters,
}

impl<F: Write> Batch<'_, F> {
    fn add(&mut self, event: &super::Event) {
        let before = self.bytes.len();
        if self.torn && before == 0 {
            self.bytes.push(b'\n');
        }
        match serde_json::to_writer(&mut self.bytes, event) {
            Ok(()) => {
                self.bytes.push(b'\n');
                self.lines += 1;
            }
            Err(error) => {
                self.bytes.truncate(before);
                self.counters.lose(1, &error);
            }
        }
    }

    fn write(&mut self) {
        if self.lines == 0 {
            return;
        }
        match self.file.write_all(&self.bytes) {
            Ok(()) => {
                self.torn = false;
                self.counters.written.fetch_add(self.lines, Ordering::Relaxed);
            }
            Err(error) => {
                self.torn = true;
                self.counters.lose(self.lines, &error);
            }
        }
        self.bytes.clear();
        self.lines = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::Event;
    use super::*;

    /// Refuses every second write after some bytes of it.
    #[derive(Default)]
    struct Failing {
        text: Vec<u8>,
        calls: usize,
        half: bool,
    }

    impl Write for &mut Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.calls += 1;
            if self.half {
                self.half = false;
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            self.half = self.calls.is_multiple_of(2);
            let taken = if self.half { bytes.len() / 2 } else { bytes.len() };
            self.text.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_disk_that_refuses_costs_counted_lines_and_tears_none_of_the_others() {
        let counters = Counters::default();
        let mut file = Failing::default();
        let mut batch =
            Batch { file: &mut file, bytes: Vec::new(), lines: 0, torn: false, counters: &counters };
        for _ in 0..9 {
            batch.add(&Event::example());
            batch.write();
        }
        let text = String::from_utf8(file.text).unwrap();
        let whole = text.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok());
        assert_eq!(whole.count() as u64, counters.written());
        assert_eq!(counters.written() + counters.lost(), 9);
        assert!(counters.lost() > 0, "{text}");
    }
}
