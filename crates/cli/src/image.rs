//! `everynode image`: an image out of packages and files, without Docker.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use everynode_registry::build::{BuildError, Image, Node, Packages, Tree, Written};
use everynode_registry::{ImageName, Reference};

use crate::failure::Failure;
use crate::out;

const EXAMPLE: &str = "\
Example, after `apt-get download prometheus-node-exporter`:
  everynode image --name quay.io/prometheus/node-exporter:v1.5.0 \\
    --deb prometheus-node-exporter_*.deb --with-libraries --file /etc/passwd \\
    --entrypoint /usr/bin/prometheus-node-exporter --user 65534 --output images/node-exporter.tar";

/// Arguments of `image`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct ImageArgs {
    /// Name of the image, with a tag, as pods will ask for it
    #[arg(long, value_name = "IMAGE", value_parser = name)]
    name: ImageName,
    /// Where to write it: one archive when it ends in .tar, else a directory, which must not be there yet
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
    /// Add the files of a package of Debian; dpkg-deb unpacks it
    #[arg(long, value_name = "FILE")]
    deb: Vec<PathBuf>,
    /// Add the files of a package that is installed on this machine
    #[arg(long, value_name = "NAME")]
    package: Vec<String>,
    /// Take packages named by --package from where this machine has its packages from, by `apt-get download`
    #[arg(long, requires = "package")]
    download: bool,
    /// Add a directory with all below it
    #[arg(long, value_name = "SOURCE:PATH", value_parser = two_places)]
    directory: Vec<(PathBuf, String)>,
    /// Add a file [default: at its own path]
    #[arg(long, value_name = "SOURCE[:PATH]", value_parser = place)]
    file: Vec<(PathBuf, String)>,
    /// Add a symbolic link
    #[arg(long, value_name = "PATH:TARGET", value_parser = link)]
    symlink: Vec<(String, String)>,
    /// Add the libraries of this machine that the programs need, and their loader
    #[arg(long)]
    with_libraries: bool,
    /// What containers run; a word of it each time
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    entrypoint: Vec<String>,
    /// Arguments of it that pods may replace by `args`; one each time
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    cmd: Vec<String>,
    /// Variables
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    env: Vec<(String, String)>,
    /// User of the processes, and a group behind a colon [default: root]
    #[arg(long, value_name = "USER", default_value = "", hide_default_value = true)]
    user: String,
    /// Directory in which processes begin
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
    working_dir: String,
    /// Labels
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    label: Vec<(String, String)>,
}

/// Makes the image.
///
/// # Errors
/// Files, packages or libraries that are not there, and what the system refuses.
pub async fn run(args: ImageArgs) -> Result<ExitCode, Failure> {
    let (written, args) =
        tokio::task::spawn_blocking(move || make(&args).map(|written| (written, args))).await??;
    let text = format!(
        "{}  {:.1} MB  {}\nwritten to {}\n",
        args.name,
        written.bytes as f64 / 1e6,
        written.digest,
        args.output.display()
    );
    out::say(&text);
    Ok(ExitCode::SUCCESS)
}

fn make(args: &ImageArgs) -> Result<Written, Failure> {
    let tree = files(args).map_err(advised)?;
    if tree.nodes().next().is_none() {
        return Err(Failure::with_hint(
            "the image would have no files",
            "name some by --deb, --package, --directory or --file",
        ));
    }
    if let Some(program) =
        args.entrypoint.first().filter(|program| program.starts_with('/') && !tree.has(program))
    {
        return Err(Failure::with_hint(
            format!("the image has no {program}, which is its entrypoint"),
            "add it by --file or --package, or look at its path",
        ));
    }
    let join = |(key, value): &(String, String)| format!("{key}={value}");
    let image = Image {
        tree,
        entrypoint: args.entrypoint.clone(),
        cmd: args.cmd.clone(),
        env: args.env.iter().map(join).collect(),
        user: args.user.clone(),
        working_dir: args.working_dir.clone(),
        labels: args.label.iter().cloned().collect(),
        modified_seconds: source_date(std::env::var("SOURCE_DATE_EPOCH").ok())?,
        ..Image::new(args.name.clone())
    };
    let is_archive = args.output.extension().is_some_and(|extension| extension == "tar");
    let written =
        if is_archive { image.write_archive(&args.output) } else { image.write_directory(&args.output) };
    written.map_err(advised)
}

/// What goes into the image. What comes later takes the place of what came before.
fn files(args: &ImageArgs) -> Result<Tree, BuildError> {
    let mut tree = Tree::default();
    let packages = Packages::default();
    for package in &args.package {
        if args.download {
            let scratch = Scratch::new()?;
            let deb = packages.download(package, &scratch.0)?;
            packages.add_file(&deb, &mut tree)?;
        } else {
            packages.add_installed(package, &mut tree)?;
        }
    }
    for deb in &args.deb {
        packages.add_file(deb, &mut tree)?;
    }
    for (source, path) in &args.directory {
        tree.add_directory(source, path)?;
    }
    for (source, path) in &args.file {
        tree.add_file(source, path)?;
    }
    for (path, target) in &args.symlink {
        tree.insert(path, Node::Symlink(target.clone()))?;
    }
    if args.with_libraries {
        tree.add_libraries()?;
    }
    Ok(tree)
}

/// A directory of ours that goes with the command.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch, BuildError> {
        let path = std::env::temp_dir().join(format!("everynode-image-{:032x}", fastrand::u128(..)));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|source| BuildError::Write { path: path.clone(), source })?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, directory = %self.0.display(), "a temporary directory stays");
        }
    }
}

/// A failure with what to do about it.
fn advised(error: BuildError) -> Failure {
    let hint = match &error {
        BuildError::NotInstalled { .. } => {
            "install it, take it from where apt has it by --download, or name a file by --deb"
        }
        BuildError::Missing { program: "dpkg-deb" } => {
            "install the package dpkg, or name the package's files by --file"
        }
        BuildError::Missing { .. } => {
            "install the package apt, or download the package yourself and name it by --deb"
        }
        BuildError::Library { .. } => "install its package here, or add the library by --file",
        BuildError::Exists { .. } => "remove it, or name another directory or a file that ends in .tar",
        BuildError::Write { .. } => "make its directory, make room, or name another place by --output",
        BuildError::Special { .. } => {
            "leave it out: sockets, pipes and devices are made where the daemon runs"
        }
        _ => return Failure { message: error.to_string(), hint: None },
    };
    Failure::with_hint(error, hint)
}

/// The time of all files, by the convention for builds that can be repeated.
fn source_date(variable: Option<String>) -> Result<u64, Failure> {
    let Some(text) = variable else { return Ok(0) };
    text.parse().map_err(|_| {
        Failure::with_hint(
            "SOURCE_DATE_EPOCH is no number",
            "set it to seconds since 1970, or to nothing at all",
        )
    })
}

fn name(text: &str) -> Result<ImageName, String> {
    let name: ImageName = text.parse().map_err(|error: everynode_registry::NameError| error.to_string())?;
    match name.reference {
        Reference::Tag(_) => Ok(name),
        Reference::Digest(_) => Err("the digest is known when the image is made: give it a tag".into()),
    }
}

/// A file here, and where it goes.
fn place(text: &str) -> Result<(PathBuf, String), String> {
    if text.contains(':') {
        return two_places(text);
    }
    match text.starts_with('/') {
        true => Ok((PathBuf::from(text), text.to_owned())),
        false => Err("write where it goes behind a colon, as in ./agent:/usr/bin/agent".into()),
    }
}

fn two_places(text: &str) -> Result<(PathBuf, String), String> {
    let (source, path) = text.split_once(':').ok_or("write where it goes behind a colon")?;
    absolute(path)?;
    Ok((Path::new(source).to_owned(), path.to_owned()))
}

fn link(text: &str) -> Result<(String, String), String> {
    let (path, target) = text.split_once(':').ok_or("write what it leads to behind a colon")?;
    absolute(path)?;
    match target {
        "" => Err("it leads nowhere".into()),
        _ => Ok((path.to_owned(), target.to_owned())),
    }
}

fn absolute(path: &str) -> Result<(), String> {
    match path.starts_with('/') {
        true => Ok(()),
        false => Err(format!("{path:?} is no path from / on")),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_go_where_they_are_or_where_one_says() {
        let check = |text: &str, expected: Result<(&str, &str), ()>| {
            let expected = expected.map(|(source, path)| (PathBuf::from(source), path.to_owned()));
            assert_eq!(place(text).map_err(|_| ()), expected, "{text}");
        };
        check("/etc/passwd", Ok(("/etc/passwd", "/etc/passwd")));
        check("a:/b", Ok(("a", "/b")));
        check("a", Err(()));
        check("a:b", Err(()));
        assert_eq!(link("/a:b").unwrap(), ("/a".to_owned(), "b".to_owned()));
        assert!(link("/a").is_err() && link("/a:").is_err() && link("a:b").is_err());
        assert!(pair("=b").is_err() && pair("a").is_err());
        assert_eq!(pair("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
    }

    #[test]
    fn an_image_is_made_under_a_tag() {
        assert_eq!(name("a").unwrap().to_string(), "docker.io/library/a:latest");
        assert!(name(&format!("a@sha256:{}", "0a".repeat(32))).is_err());
    }

    #[test]
    fn the_time_of_files_is_the_same_each_time() {
        assert_eq!(source_date(None).unwrap(), 0);
        assert_eq!(source_date(Some("12".to_owned())).unwrap(), 12);
        assert!(source_date(Some("today".to_owned())).is_err());
    }
}
