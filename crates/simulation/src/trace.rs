//! What happened, for people and for telling whether two runs were the same.

use std::collections::VecDeque;
use std::fmt;
use std::hash::Hasher;

/// The lines that are kept for a failure.
const KEPT: usize = 100;

/// The events of a world. All count for the hash; the last ones are kept.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: Fnv,
    lines: VecDeque<String>,
    is_complete: bool,
}

impl Trace {
    /// A trace that keeps every line, or only the last.
    pub(crate) fn new(is_complete: bool) -> Trace {
        Trace { is_complete, ..Trace::default() }
    }

    pub(crate) fn add(&mut self, at_millis: u64, what: fmt::Arguments<'_>) {
        let line = format!("{:>4}.{:03} {what}", at_millis / 1000, at_millis % 1000);
        self.hash.write(line.as_bytes());
        if !self.is_complete && self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// A number that two runs share only when the same happened in both.
    pub(crate) fn hash(&self) -> u64 {
        self.hash.finish()
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}

/// FNV-1a, because it is the same in every process.
#[derive(Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
