//! A log that has become large is put aside, under the name that it has with the kubelet, and the runtime begins a new
//! one.

use std::fs::{self, File};
use std::io::{self, BufReader, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use everynode_model::time;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::rotated::{COMPRESSED, Rotated, TEMPORARY, is_compressed};

/// From this size on a log is put aside, and so many files of it are kept: the kubelet's defaults.
pub const SIZE_LIMIT_BYTES: u64 = 10 << 20;
pub const FILES_LIMIT: usize = 5;

/// What is done with the files of a log before it is put aside.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    removed: Vec<PathBuf>,
    compressed: Vec<PathBuf>,
}

impl Plan {
    /// Beside the log itself and the new one after it, there is room for the newest of the others. Those are compressed;
    /// what was put aside last is not, since whoever follows the log may still read it.
    fn of(rotated: Rotated) -> Plan {
        let Rotated { mut in_use, unused: mut removed } = rotated;
        let surplus = in_use.len().saturating_sub(FILES_LIMIT - 2);
        removed.extend(in_use.drain(..surplus));
        in_use.retain(|file| !is_compressed(file));
        Plan { removed, compressed: in_use }
    }
}

/// Puts a log aside, `now_seconds` after 1970; `reopen` has the runtime begin it anew. When that fails everything is as
/// before.
///
/// # Errors
/// A sentence about what the system or the runtime refused.
pub async fn rotate(
    log: &Path,
    now_seconds: i64,
    reopen: impl AsyncFnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let aside = put_aside_name(log, now_seconds);
    let moved = {
        let (log, aside) = (log.to_owned(), aside.clone());
        tokio::task::spawn_blocking(move || make_room(&log).and_then(|()| fs::rename(log, aside)))
    };
    let failed = |error: io::Error| format!("{}: {error}", log.display());
    moved.await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(failed)?;
    let reopened = reopen().await;
    if reopened.is_err() {
        fs::rename(&aside, log).map_err(failed)?;
    }
    reopened
}

fn put_aside_name(log: &Path, now_seconds: i64) -> PathBuf {
    let time = time::format(now_seconds).replace(['-', ':', 'Z'], "").replace('T', "-");
    let mut name = log.as_os_str().to_owned();
    name.push(format!(".{time}"));
    name.into()
}

fn make_room(log: &Path) -> io::Result<()> {
    let plan = Plan::of(Rotated::of(log)?);
    plan.removed.iter().try_for_each(fs::remove_file)?;
    plan.compressed.iter().try_for_each(|file| compress(file))
}

/// Puts a compressed copy in the place of a file; the copy has its name only when it is complete.
fn compress(file: &Path) -> io::Result<()> {
    let with = |suffix: &str| PathBuf::from(format!("{}{suffix}", file.display()));
    let mut source = BufReader::new(File::open(file)?);
    let mode = source.get_ref().metadata()?.permissions().mode();
    let copy = File::options().write(true).create(true).truncate(true).mode(mode).open(with(TEMPORARY))?;
    let mut encoder = GzEncoder::new(copy, Compression::default());
    io::copy(&mut source, &mut encoder)?;
    encoder.finish()?.flush()?;
    fs::rename(with(TEMPORARY), with(COMPRESSED))?;
    fs::remove_file(file)
}

/// Removes a log with all that was put aside of it. What is not there has been removed.
pub fn remove(log: &Path) {
    let Rotated { in_use, unused } = Rotated::of(log).unwrap_or_default();
    for file in in_use.iter().chain(&unused).chain([&log.to_owned()]) {
        let _ = fs::remove_file(file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::{LogOptions, LogReader};

    #[test]
    fn the_oldest_files_go_and_those_that_stay_are_compressed() {
        let check = |in_use: &[&str], unused: &[&str], removed: &[&str], compressed: &[&str]| {
            let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect();
            let plan = Plan::of(Rotated { in_use: paths(in_use), unused: paths(unused) });
            assert_eq!(plan, Plan { removed: paths(removed), compressed: paths(compressed) }, "{in_use:?}");
        };
        check(&[], &[], &[], &[]);
        check(&["a.gz", "b"], &["c.tmp"], &["c.tmp"], &["b"]);
        check(&["a.gz", "b.gz", "c"], &[], &[], &["c"]);
        check(&["a.gz", "b.gz", "c.gz", "d"], &[], &["a.gz"], &["d"]);
        check(&["a", "b", "c", "d", "e"], &[], &["a", "b"], &["c", "d", "e"]);
    }

    #[tokio::test]
    async fn a_log_that_is_put_aside_again_and_again_keeps_its_newest_files() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("0.log");
        let write = |text: &str| fs::write(&log, format!("2026-01-02T03:04:05Z stdout F {text}\n")).unwrap();
        for round in 0..7 {
            write(&round.to_string());
            rotate(&log, round, async || Ok(())).await.unwrap();
            assert!(!log.exists(), "the runtime makes it");
        }
        write("7");
        let mut names: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let aside = |second: u32, end: &str| format!("0.log.19700101-00000{second}{end}");
        let expected = [aside(3, ".gz"), aside(4, ".gz"), aside(5, ".gz"), aside(6, "")];
        assert_eq!(names, [&["0.log".to_owned()][..], &expected].concat());
        assert_eq!(LogReader::open(&log, LogOptions::default()).unwrap().read().unwrap(), b"3\n4\n5\n6\n7\n");
        remove(&log);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_log_that_the_runtime_does_not_begin_anew_stays() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("0.log");
        fs::write(&log, "x").unwrap();
        let refused = rotate(&log, 0, async || Err("no".to_owned())).await;
        assert_eq!(refused, Err("no".to_owned()));
        assert_eq!(fs::read(&log).unwrap(), b"x");
        assert!(rotate(&folder.path().join("none"), 0, async || Ok(())).await.is_err());
    }
}
