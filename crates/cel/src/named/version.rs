//! Semantic versions.

use std::cmp::Ordering;

/// A semantic version. What is said of a build does not matter.
#[derive(Debug, PartialEq, Eq)]
pub struct Version {
    /// Major, minor and patch.
    pub numbers: [u64; 3],
    before: Vec<Part>,
}

/// A part of what a version comes before.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Word(String),
}

impl Version {
    /// Reads a version.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Version, String> {
        if text.is_empty() {
            return Err("Version string empty".into());
        }
        let mut parts = text.splitn(3, '.');
        let (Some(major), Some(minor), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("No Major.Minor.Patch elements found".into());
        };
        let (rest, build) = match rest.split_once('+') {
            Some((rest, build)) => (rest, Some(build)),
            None => (rest, None),
        };
        let (patch, before) = match rest.split_once('-') {
            Some((patch, before)) => (patch, Some(before)),
            None => (rest, None),
        };
        let numbers = [number(major, "major")?, number(minor, "minor")?, number(patch, "patch")?];
        let before = before.map(|before| before.split('.').map(part).collect()).unwrap_or(Ok(Vec::new()))?;
        for word in build.into_iter().flat_map(|build| build.split('.')) {
            is_word(word, "Build meta data")?;
        }
        Ok(Version { numbers, before })
    }

    /// Reads one that may have leading zeros and a `v`, and lack numbers.
    ///
    /// # Errors
    /// It is none.
    pub fn tolerant(text: &str) -> Result<Version, String> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let mut parts: Vec<String> = text.splitn(3, '.').map(without_zeros).collect();
        if parts.len() < 3 && parts.last().is_some_and(|last| last.contains(['+', '-'])) {
            return Err("short version cannot contain PreRelease/Build meta data".into());
        }
        parts.resize(3, "0".to_owned());
        Version::parse(&parts.join("."))
    }

    /// Which one comes first.
    pub fn compare(&self, other: &Version) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| {
            match (self.before.is_empty(), other.before.is_empty()) {
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                _ => self.before.cmp(&other.before),
            }
        })
    }
}

fn without_zeros(part: &str) -> String {
    if part.len() < 2 {
        return part.to_owned();
    }
    let rest = part.trim_start_matches('0');
    match rest.starts_with(|c: char| c.is_ascii_digit()) {
        true => rest.to_owned(),
        false => format!("0{rest}"),
    }
}

fn number(text: &str, what: &str) -> Result<u64, String> {
    let quoted = everynode_model::go_quote(text);
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("Invalid character(s) found in {what} number {quoted}"));
    }
    if text.len() > 1 && text.starts_with('0') {
        let name = format!("{}{}", what[..1].to_uppercase(), &what[1..]);
        return Err(format!("{name} number must not contain leading zeroes {quoted}"));
    }
    text.parse().map_err(|_| format!("strconv.ParseUint: parsing {quoted}: value out of range"))
}

fn is_word(text: &str, what: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("{what} is empty"));
    }
    let is_fine = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_fine {
        Ok(())
    } else {
        Err(format!("Invalid character(s) found in {what} {}", everynode_model::go_quote(text)))
    }
}

fn part(text: &str) -> Result<Part, String> {
    is_word(text, "prerelease")?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Part::Word(text.to_owned()));
    }
    let quoted = everynode_model::go_quote(text);
    if text.len() > 1 && text.starts_with('0') {
        return Err(format!("Numeric PreRelease version must not contain leading zeroes {quoted}"));
    }
    text.parse()
        .map(Part::Number)
        .map_err(|_| format!("strconv.ParseUint: parsing {quoted}: value out of range"))
}
