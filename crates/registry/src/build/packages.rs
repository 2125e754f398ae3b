//! The files of Debian's packages.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::BuildError;
use super::tree::{Content, Node, Tree, read_within};
use crate::tar::{Kind, Reader};

/// Where dpkg says what it has installed.
const INSTALLED: &str = "/var/lib/dpkg/info";
/// What the files of one package may have in them, as they are held in memory.
const PACKAGE_LIMIT_BYTES: u64 = 1 << 30;
/// The list of a package's files, and what a program says when it fails.
const LIST_LIMIT_BYTES: u64 = 64 << 20;
const WORDS_LIMIT_BYTES: usize = 2_000;
/// What no daemon reads.
const DOCUMENTATION: [&str; 4] = ["usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/lintian"];

/// Where the files of packages come from.
#[derive(Debug, Clone)]
pub struct Packages {
    /// Where dpkg says what it has installed.
    pub(crate) info: PathBuf,
}

impl Default for Packages {
    /// Those of this machine.
    fn default() -> Packages {
        Packages { info: PathBuf::from(INSTALLED) }
    }
}

impl Packages {
    /// Adds the files of a package that is installed here, as they are now. Documentation is left out.
    ///
    /// # Errors
    /// It is not installed, or one of its files cannot be read.
    pub fn add_installed(&self, package: &str, tree: &mut Tree) -> Result<(), BuildError> {
        check_name(package)?;
        let list = self.list(package)?;
        let paths: BTreeSet<&str> = list.lines().map(|path| path.trim_end_matches("/.")).collect();
        for path in paths.iter().filter(|path| !path.is_empty() && !is_documentation(path)) {
            // What has something below it is a directory to dpkg, also where the machine has a link in its place.
            let below = format!("{path}/");
            let is_above = paths.range(&*below..).next().is_some_and(|next| next.starts_with(&below));
            let source = Path::new(path);
            let node = if is_above { Node::Directory(0o755) } else { tree.node_of(source)? };
            tree.insert(path, node)?;
        }
        Ok(())
    }

    /// The list of an installed package's files, which is of one processor where it can be installed for several.
    fn list(&self, package: &str) -> Result<String, BuildError> {
        let entries = fs::read_dir(&self.info).map_err(BuildError::reading(&self.info))?;
        let names: BTreeSet<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        let is_of = |name: &&String| {
            let name = name.strip_suffix(".list").unwrap_or_default();
            name == package || name.strip_prefix(package).is_some_and(|rest| rest.starts_with(':'))
        };
        let missing = || BuildError::NotInstalled { package: package.to_owned() };
        let file = self.info.join(names.iter().find(is_of).ok_or_else(missing)?);
        let mut list = String::new();
        let opened = fs::File::open(&file).map_err(BuildError::reading(&file))?;
        opened.take(LIST_LIMIT_BYTES).read_to_string(&mut list).map_err(BuildError::reading(&file))?;
        Ok(list)
    }

    /// Adds the files of a package in a file. Documentation is left out. `dpkg-deb` unpacks it.
    ///
    /// # Errors
    /// dpkg-deb is not here, or the file is no package.
    pub fn add_file(&self, deb: &Path, tree: &mut Tree) -> Result<(), BuildError> {
        fs::File::open(deb).map_err(BuildError::reading(deb))?;
        // A name that begins with `-` would be an option.
        let path = fs::canonicalize(deb).map_err(BuildError::reading(deb))?;
        let mut command = Command::new("dpkg-deb");
        let command = command.arg("--fsys-tarfile").arg(path).stdin(Stdio::null());
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(not_here("dpkg-deb"))?;
        let output = child.stdout.take().map(|output| Box::new(output) as Box<dyn Read + Send>);
        let added = output.map_or(Ok(()), |output| add_entries(deb, Reader::new(output), tree));
        // It may wait for somebody to read the rest.
        if added.is_err() {
            let _ = child.kill();
        }
        let status = child.wait().map_err(BuildError::reading(deb))?;
        match status.success() || added.is_err() {
            true => added,
            false => Err(BuildError::Failed {
                program: "dpkg-deb",
                words: format!("{} is no package of Debian, or damaged", deb.display()),
            }),
        }
    }

    /// Downloads a package into a directory with `apt-get download`, from where the machine has its packages from.
    ///
    /// # Errors
    /// apt-get is not here or fails.
    pub fn download(&self, package: &str, directory: &Path) -> Result<PathBuf, BuildError> {
        check_name(package)?;
        let mut command = Command::new("apt-get");
        let command =
            command.args(["download", "--quiet", package]).current_dir(directory).stdin(Stdio::null());
        let output = command.output().map_err(not_here("apt-get"))?;
        let failed = |words: String| BuildError::Failed { program: "apt-get download", words };
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr[..output.stderr.len().min(WORDS_LIMIT_BYTES)]);
            return Err(failed(words.trim().replace('\n', "; ")));
        }
        let entries = fs::read_dir(directory).map_err(BuildError::reading(directory))?;
        let mut found = entries.flatten().map(|entry| entry.path());
        let is_deb = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.ends_with(".deb") && name.strip_prefix(package).is_some_and(|rest| rest.starts_with('_'))
        };
        found.find(is_deb).ok_or_else(|| failed(format!("no file of {package} came")))
    }
}

/// A name as dpkg allows it: it becomes a part of a path, and an argument.
fn check_name(package: &str) -> Result<(), BuildError> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    let begins = package.starts_with(|c: char| c.is_ascii_alphanumeric());
    match begins && package.chars().all(fits) {
        true => Ok(()),
        false => Err(BuildError::NoPackage { package: package.to_owned() }),
    }
}

fn not_here(program: &'static str) -> impl Fn(std::io::Error) -> BuildError {
    move |error| match error.kind() {
        ErrorKind::NotFound => BuildError::Missing { program },
        _ => BuildError::Failed { program, words: error.to_string() },
    }
}

fn is_documentation(path: &str) -> bool {
    let path = path.trim_start_matches('/');
    DOCUMENTATION
        .iter()
        .any(|folder| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Adds what an archive has.
fn add_entries(
    deb: &Path,
    mut archive: Reader<Box<dyn Read + Send>>,
    tree: &mut Tree,
) -> Result<(), BuildError> {
    let damaged = |source| BuildError::Archive { path: deb.to_owned(), source };
    let mut left = PACKAGE_LIMIT_BYTES;
    while let Some(entry) = archive.next_entry().map_err(damaged)? {
        if is_documentation(&entry.path) {
            continue;
        }
        let node = match entry.kind {
            Kind::Directory => Node::Directory(entry.mode),
            Kind::Symlink => Node::Symlink(entry.link),
            Kind::File => {
                let read =
                    read_within(&mut archive, entry.size, &mut left).map_err(BuildError::reading(deb))?;
                let too_much =
                    || BuildError::TooMuch { path: deb.to_owned(), what: "more than 1 GiB of files" };
                Node::File(entry.mode, Content::Bytes(read.ok_or_else(too_much)?))
            }
            Kind::HardLink => match tree.get(entry.link.trim_start_matches("./")) {
                Some(file @ Node::File(..)) => file.clone(),
                _ => {
                    return Err(BuildError::Path {
                        path: entry.link,
                        why: "a link leads to it, and it is not there",
                    });
                }
            },
            Kind::Other => return Err(BuildError::Special { path: PathBuf::from(entry.path) }),
        };
        tree.insert(&entry.path, node)?;
    }
    Ok(())
}
