//! Patterns of schemas, which are limited one by one and together.

use std::collections::HashMap;

use regex::{Regex, RegexBuilder};

/// Memory that the automaton of one pattern may take, in bytes.
const PATTERN_BYTES: usize = 1 << 20;

/// Memory that all patterns of a definition may take, in bytes; equal ones are one.
const ALL_BYTES: usize = 8 << 20;

/// What a pattern is taken to need: the first of these with which it can be made. Nothing tells what it does need.
const SIZES: [usize; 5] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, PATTERN_BYTES];

/// Memory for what is found out while a pattern runs, in bytes for each thread.
const CACHE_BYTES: usize = 256 << 10;

/// The patterns of one definition.
#[derive(Debug, Default)]
pub struct Patterns {
    made: HashMap<String, Regex>,
    bytes: usize,
}

impl Patterns {
    /// The regular expression of a pattern.
    ///
    /// # Errors
    /// It cannot be read, or needs more memory than it alone, or all of them, may take.
    pub fn make(&mut self, text: &str) -> Result<Regex, String> {
        if let Some(made) = self.made.get(text) {
            return Ok(made.clone());
        }
        for bytes in SIZES {
            if self.bytes + bytes > ALL_BYTES {
                break;
            }
            match build(text, bytes) {
                Ok(made) => {
                    self.bytes += bytes;
                    self.made.insert(text.to_owned(), made.clone());
                    return Ok(made);
                }
                Err(regex::Error::CompiledTooBig(_)) if bytes < PATTERN_BYTES => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        self.bytes = ALL_BYTES;
        Err(format!("the patterns of a definition may take {ALL_BYTES} bytes together, and take more"))
    }

    /// Whether a pattern did not fit any more, so that no other one is made.
    pub fn are_too_many(&self) -> bool {
        self.bytes >= ALL_BYTES
    }
}

fn build(text: &str, bytes: usize) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).size_limit(bytes).dfa_size_limit(CACHE_BYTES).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_one_definition_have_a_limit_together() {
        let mut patterns = Patterns::default();
        let large = |n: usize| format!("^[a-z]{{{n}}}\\w{{10}}$");
        let made = (1..1000).take_while(|n| patterns.make(&large(*n)).is_ok()).count();
        assert!((4..100).contains(&made), "{made}");
        assert!(patterns.are_too_many());
        // What is there costs nothing once more, and what is small is refused as well.
        assert!(patterns.make(&large(1)).is_ok());
        assert!(patterns.make("^small$").unwrap_err().contains("together"));
    }

    #[test]
    fn one_pattern_has_a_limit_and_what_cannot_be_read_is_told_apart() {
        let check = |text: &str, expected: &str| {
            let refused = Patterns::default().make(text).unwrap_err();
            assert!(refused.contains(expected), "{text}: {refused}");
        };
        check("\\w{5000}", "1048576");
        check("(", "unclosed group");
        assert!(Patterns::default().make("^([0-9]|[1-9][0-9]|100)%$").unwrap().is_match("42%"));
    }
}
