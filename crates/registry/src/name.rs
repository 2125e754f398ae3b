//! Names of images: `registry/repository:tag`, and what the short forms of them stand for.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;

/// The registry of names that tell none, and the other names that it has.
const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_REGISTRY_ALIASES: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];
/// Where that registry keeps repositories without a folder.
const DEFAULT_FOLDER: &str = "library";
const DEFAULT_TAG: &str = "latest";

/// The limits that registries have.
const NAME_LIMIT_BYTES: usize = 255;
const TAG_LIMIT_BYTES: usize = 128;

/// The whole name of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    /// Host of the registry, with its port if it tells one.
    pub registry: String,
    /// Path within the registry.
    pub repository: String,
    /// Which image of the repository.
    pub reference: Reference,
}

/// Which image of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// The one that the tag points to.
    Tag(String),
    /// The one with this digest.
    Digest(Digest),
}

/// The text is no name of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no name of an image: {why}")]
pub struct NameError {
    text: String,
    why: &'static str,
}

impl ImageName {
    /// The name from its parts, as requests to a registry have them. Without a registry the path is read as a name.
    ///
    /// # Errors
    /// A part that no registry would take.
    pub fn from_parts(registry: Option<&str>, path: &str, reference: &str) -> Result<ImageName, NameError> {
        let error = |why| NameError { text: format!("{path}:{reference}"), why };
        let reference = reference.parse().map_err(error)?;
        let (registry, repository) = match registry {
            Some(registry) => (registry, path.to_owned()),
            None => split_registry(path),
        };
        if DEFAULT_REGISTRY_ALIASES.contains(&registry) {
            return ImageName { registry: DEFAULT_REGISTRY.to_owned(), repository, reference }.checked(path);
        }
        ImageName { registry: registry.to_owned(), repository, reference }.checked(path)
    }

    fn checked(self, text: &str) -> Result<ImageName, NameError> {
        let error = |why| Err(NameError { text: text.to_owned(), why });
        if self.registry.len() + self.repository.len() >= NAME_LIMIT_BYTES {
            return error("it is longer than 255 bytes");
        }
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        let begins = self.registry.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[');
        if !begins || !self.registry.chars().all(is_host) {
            return error("its registry is no host");
        }
        if !self.repository.split('/').all(is_component) {
            return error("a repository has lower case letters, digits, and . _ - between them");
        }
        Ok(self)
    }

    /// The last component of the repository, such as `node-exporter`.
    pub(crate) fn base(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or(&self.repository)
    }
}

/// The registry that a path begins with, or the default one, and the repository there.
fn split_registry(path: &str) -> (&str, String) {
    let is_host = |first: &str| first.contains(['.', ':']) || first == "localhost";
    match path.split_once('/') {
        Some((first, rest)) if is_host(first) => {
            let is_short = first == DEFAULT_REGISTRY || DEFAULT_REGISTRY_ALIASES.contains(&first);
            (first, if is_short { with_folder(rest) } else { rest.to_owned() })
        }
        _ => (DEFAULT_REGISTRY, with_folder(path)),
    }
}

fn with_folder(repository: &str) -> String {
    match repository.contains('/') {
        true => repository.to_owned(),
        false => format!("{DEFAULT_FOLDER}/{repository}"),
    }
}

/// Whether it is a part of a repository's path.
fn is_component(text: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(is_inner)
        && text.ends_with(is_inner)
        && text.chars().all(|c| is_inner(c) || "._-".contains(c))
        && !text.contains("..")
}

impl FromStr for Reference {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Reference, &'static str> {
        // No tag has a colon.
        if text.contains(':') {
            let digest = text.parse();
            return digest.map(Reference::Digest).map_err(|_| "its digest is not sha256: and 64 digits");
        }
        let is_first = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_tag = text.starts_with(is_first) && text.chars().all(|c| is_first(c) || ".-".contains(c));
        if !is_tag || text.len() > TAG_LIMIT_BYTES {
            return Err("a tag has letters, digits, and . _ - behind the first, and 128 of them at most");
        }
        Ok(Reference::Tag(text.to_owned()))
    }
}

impl FromStr for ImageName {
    type Err = NameError;

    /// Reads a name as pod specs and Docker have it: without a registry it is of docker.io, without a tag the latest.
    fn from_str(text: &str) -> Result<ImageName, NameError> {
        let (path, digest) = text.split_once('@').map_or((text, None), |(path, digest)| (path, Some(digest)));
        let colon = path.rfind(':').filter(|colon| !path[*colon..].contains('/'));
        let (path, tag) = colon.map_or((path, None), |colon| (&path[..colon], Some(&path[colon + 1..])));
        let reference = digest.or(tag).unwrap_or(DEFAULT_TAG);
        ImageName::from_parts(None, path, reference)
            .map_err(|error| NameError { text: text.to_owned(), ..error })
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        match &self.reference {
            Reference::Tag(tag) => write!(f, ":{tag}"),
            Reference::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_stands_for_a_whole_one() {
        let check = |text: &str, expected: &str| {
            assert_eq!(text.parse::<ImageName>().unwrap().to_string(), expected, "{text}");
        };
        check("busybox", "docker.io/library/busybox:latest");
        check("busybox:1.36", "docker.io/library/busybox:1.36");
        check("grafana/loki", "docker.io/grafana/loki:latest");
        check("docker.io/busybox", "docker.io/library/busybox:latest");
        check("index.docker.io/library/busybox", "docker.io/library/busybox:latest");
        check("quay.io/prometheus/node-exporter:v1.5.0", "quay.io/prometheus/node-exporter:v1.5.0");
        check("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10");
        check("localhost/a", "localhost/a:latest");
        check("localhost:5000/a/b_c:v1", "localhost:5000/a/b_c:v1");
        check("a:5000/b", "a:5000/b:latest");
        let digest = format!("sha256:{}", "0a".repeat(32));
        check(&format!("a/b:1@{digest}"), &format!("docker.io/a/b@{digest}"));
        check(&format!("r.example/b@{digest}"), &format!("r.example/b@{digest}"));
    }

    #[test]
    fn what_no_registry_would_take_is_no_name() {
        for text in [
            "",
            ":1",
            "a:",
            "A",
            "a/B",
            "a//b",
            "/a",
            "a/",
            "a b",
            "../a",
            "r.example/../b",
            "a/..",
            "-a",
            "a:-1",
            "a@sha256:0a",
            "a@md5:0a",
            "a:1:2",
            "r.example/a@",
            "a..b",
        ] {
            assert!(text.parse::<ImageName>().is_err(), "{text}");
        }
        assert!(format!("r.example/{}", "a/".repeat(200) + "a").parse::<ImageName>().is_err());
        assert!(format!("a:{}", "1".repeat(129)).parse::<ImageName>().is_err());
    }

    #[test]
    fn a_request_tells_the_registry_apart() {
        let check = |registry, path: &str, reference: &str, expected: &str| {
            let name = ImageName::from_parts(registry, path, reference).unwrap();
            assert_eq!(name.to_string(), expected);
        };
        check(Some("quay.io"), "prometheus/node-exporter", "v1", "quay.io/prometheus/node-exporter:v1");
        check(Some("registry-1.docker.io"), "library/busybox", "1", "docker.io/library/busybox:1");
        check(None, "quay.io/prometheus/node-exporter", "v1", "quay.io/prometheus/node-exporter:v1");
        check(None, "busybox", "1", "docker.io/library/busybox:1");
    }
}
