//! Patterns of schemas and rules, which are limited one by one and together, and read as RE2 reads them.

use std::collections::HashMap;
use std::iter::Peekable;
use std::str::Chars;

use regex::{Regex, RegexBuilder};

use crate::budget::{Budget, Failure};

/// Memory that the automaton of one pattern may take, in bytes.
const PATTERN_BYTES: usize = 16 << 20;

/// Memory that all patterns of a definition may take, in bytes; equal ones are one.
const ALL_BYTES: usize = 64 << 20;

/// What a pattern is taken to need: the first of these with which it can be made. Nothing tells what it does need.
const SIZES: [usize; 7] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, PATTERN_BYTES];

/// Memory for what is found out while a pattern runs, in bytes for each thread.
const CACHE_BYTES: usize = 256 << 10;

/// Steps that it takes to make a regular expression that is not known before.
const MAKING_STEPS: u64 = 500;

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternError {
    /// It is none.
    Syntax(String),
    /// It, or all together, would take too much memory.
    TooLarge(String),
}

impl std::fmt::Display for PatternError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PatternError::Syntax(why) | PatternError::TooLarge(why) => f.write_str(why),
        }
    }
}

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
    pub fn make(&mut self, text: &str) -> Result<Regex, PatternError> {
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
                Err(PatternError::TooLarge(_)) if bytes < PATTERN_BYTES => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes = ALL_BYTES;
        let why = format!("the patterns of a definition may take {ALL_BYTES} bytes together, and take more");
        Err(PatternError::TooLarge(why))
    }

    /// Whether a pattern did not fit any more, so that no other one is made.
    pub fn are_too_many(&self) -> bool {
        self.bytes >= ALL_BYTES
    }
}

fn build(text: &str, bytes: usize) -> Result<Regex, PatternError> {
    let plain = translated(text);
    let made = RegexBuilder::new(&plain).size_limit(bytes).dfa_size_limit(CACHE_BYTES).build();
    made.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => PatternError::TooLarge(error.to_string()),
        error => {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default();
            PatternError::Syntax(why.trim_start_matches("error: ").to_owned())
        }
    })
}

/// The regular expressions of one expression that are made beforehand.
#[derive(Debug, Default)]
pub struct Regexes(HashMap<String, Regex>);

impl Regexes {
    /// Keeps one.
    pub fn keep(&mut self, text: &str, made: Regex) {
        self.0.insert(text.to_owned(), made);
    }

    /// The regular expression of a pattern; what is not kept is made anew.
    ///
    /// # Errors
    /// It is none, or there are not so many steps left.
    pub fn get(&self, text: &str, budget: &mut Budget) -> Result<Regex, Failure> {
        if let Some(made) = self.0.get(text) {
            return Ok(made.clone());
        }
        budget.steps(MAKING_STEPS + text.len() as u64)?;
        build(text, PATTERN_BYTES).map_err(|why| Failure::Error(format!("error parsing regexp: {why}")))
    }
}

/// What stands for a class of RE2, which knows ASCII only; within brackets, and alone.
fn class(name: char) -> Option<(&'static str, &'static str)> {
    Some(match name {
        'd' => ("0-9", "[0-9]"),
        'D' => ("[^0-9]", "[^0-9]"),
        'w' => ("0-9A-Za-z_", "[0-9A-Za-z_]"),
        'W' => ("[^0-9A-Za-z_]", "[^0-9A-Za-z_]"),
        's' => ("\\t\\n\\x0c\\r ", "[\\t\\n\\x0c\\r ]"),
        'S' => ("[^\\t\\n\\x0c\\r ]", "[^\\t\\n\\x0c\\r ]"),
        'b' => ("", "(?-u:\\b)"),
        'B' => ("", "(?-u:\\B)"),
        _ => return None,
    })
}

/// A pattern of RE2 as our engine writes it: classes are of ASCII, a dash behind one is itself, and brackets know
/// neither brackets within nor operators.
fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => escaped(&mut rest, &mut out),
            '[' => brackets(&mut rest, &mut out),
            '{' if !is_repetition(&rest) => out.push_str("\\{"),
            c => out.push(c),
        }
    }
    out
}

fn escaped(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    match rest.next() {
        Some('Q') => {
            let mut literal = String::new();
            for c in rest.by_ref() {
                literal.push(c);
                if literal.ends_with("\\E") {
                    literal.truncate(literal.len() - 2);
                    break;
                }
            }
            out.push_str(&regex::escape(&literal));
        }
        Some('C') => out.push_str("(?s:.)"),
        Some(name) => match class(name) {
            Some((_, alone)) => out.push_str(alone),
            None => out.extend(['\\', name]),
        },
        None => out.push('\\'),
    }
}

/// Whether what follows a brace says how often something stands there.
fn is_repetition(rest: &Peekable<Chars<'_>>) -> bool {
    let inside: String = rest.clone().take_while(|c| *c != '}').take(12).collect();
    let is_closed = rest.clone().nth(inside.chars().count()) == Some('}');
    let (least, most) = inside.split_once(',').unwrap_or((&inside, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    is_closed && !least.is_empty() && is_number(least) && is_number(most)
}

fn brackets(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.push('[');
    if rest.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    if rest.next_if_eq(&']').is_some() {
        out.push_str("\\]");
    }
    // A dash behind a class of more than one character is itself.
    let mut is_behind_class = false;
    while let Some(c) = rest.next() {
        let was_behind_class = std::mem::take(&mut is_behind_class);
        match c {
            ']' => {
                out.push(']');
                return;
            }
            '[' if rest.peek() == Some(&':') => {
                let name: String = rest.clone().take_while(|c| *c != ']').collect();
                let is_named = name.len() > 2 && name.ends_with(':');
                if is_named {
                    out.push('[');
                    out.extend(rest.by_ref().take(name.chars().count() + 1));
                    is_behind_class = true;
                } else {
                    out.push_str("\\[");
                }
            }
            '-' if was_behind_class => out.push_str("\\-"),
            '[' | '&' | '~' => out.extend(['\\', c]),
            '-' if out.ends_with(['[', '^']) => out.push_str("\\-"),
            '-' if rest.next_if_eq(&'-').is_some() => out.push_str("-\\-"),
            '\\' => match rest.next() {
                Some(name @ ('p' | 'P')) => {
                    out.extend(['\\', name]);
                    if rest.peek() == Some(&'{') {
                        for c in rest.by_ref() {
                            out.push(c);
                            if c == '}' {
                                break;
                            }
                        }
                    }
                    is_behind_class = true;
                }
                Some(name) => match class(name) {
                    Some((within, _)) => {
                        out.push_str(within);
                        is_behind_class = true;
                    }
                    None => out.extend(['\\', name]),
                },
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_one_definition_have_a_limit_together() {
        let mut patterns = Patterns::default();
        let large = |n: usize| format!("^[a-z]{{{n}}}\\pL{{10}}$");
        let made = (1..1000).take_while(|n| patterns.make(&large(*n)).is_ok()).count();
        assert!((4..500).contains(&made), "{made}");
        assert!(patterns.are_too_many());
        // What is there costs nothing once more, and what is small is refused as well.
        assert!(patterns.make(&large(1)).is_ok());
        assert!(patterns.make("^small$").unwrap_err().to_string().contains("together"));
    }

    #[test]
    fn one_pattern_has_a_limit_and_what_cannot_be_read_is_told_apart() {
        let check = |text: &str, expected: &str| {
            let refused = Patterns::default().make(text).unwrap_err();
            assert!(refused.to_string().contains(expected), "{text}: {refused}");
        };
        check("\\pL{5000}", "16777216");
        check("(", "unclosed group");
        assert!(Patterns::default().make("^([0-9]|[1-9][0-9]|100)%$").unwrap().is_match("42%"));
    }

    #[test]
    fn patterns_mean_what_they_mean_in_re2() {
        let check = |pattern: &str, text: &str, expected: bool| {
            let made = Patterns::default().make(pattern).unwrap_or_else(|why| panic!("{pattern}: {why}"));
            assert_eq!(made.is_match(text), expected, "{pattern} and {text}");
        };
        check(r"^[\w-_]+$", "a-b_c", true);
        check(r"^[\w-.]+$", "a-b.c", true);
        check(r"^[\d-a]$", "-", true);
        check(r"^\d+$", "٣", false);
        check(r"^\w+$", "é", false);
        check(r"^[^\s]+$", "a\u{a0}b", true);
        check(r"^[[a]$", "[", true);
        check(r"^[a&&b]+$", "&", true);
        check(r"^[a~~b]$", "~", true);
        check(r"^[]a]$", "]", true);
        check(r"^[[:alpha:]-_]$", "-", true);
        check(r"^[\W]$", "é", true);
        check(r"^a{,2}$", "a{,2}", true);
        check(r"^a{1,2}$", "aa", true);
        check(r"^\Qa.b\E$", "a.b", true);
        check(r"^[+--]$", ",", true);
        check(r"\bab\b", "x ab y", true);
    }
}
