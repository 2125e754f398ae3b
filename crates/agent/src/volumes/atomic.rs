//! Files that change all at once: readers see the old ones or the new ones, never some of each.
//!
//! The files are in a folder of their own with a name of the time, to which the link `..data` leads; the names that
//! containers read are links through it. Whoever follows `..data` once sees one state.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use super::payload::{Payload, PayloadFile};

/// The link to the folder of now.
const DATA: &str = "..data";
/// What becomes it.
const NEW_DATA: &str = "..data_tmp";

/// Why files could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {cause}", path = .path.display())]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub cause: io::Error,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    |cause| WriteError { path: path.to_owned(), cause }
}

/// Makes these the files of a folder, which is there. Returns whether anything changed.
///
/// `group` owns the files, and may read what their owner may, where the pod has an fsGroup. `version` is a name that
/// was not used before in this folder, such as the time.
///
/// # Errors
/// When the system refuses. What was there is then still there.
pub fn write_atomically(
    folder: &Path,
    files: &Payload,
    group: Option<u32>,
    version: &str,
) -> Result<bool, WriteError> {
    let link = folder.join(DATA);
    let old = fs::read_link(&link).ok().map(|old| folder.join(old));
    if old.as_deref().is_some_and(|old| is_same(old, files)) {
        // What a stop in the midst left undone.
        link_names(folder, files)?;
        return Ok(false);
    }
    let name = format!("..{version}");
    let new = folder.join(&name);
    let _ = fs::remove_dir_all(&new);
    make_folder(&new, group)?;
    for (path, file) in files {
        write(&new, path, file, group)?;
    }
    let temporary = folder.join(NEW_DATA);
    let _ = fs::remove_file(&temporary);
    symlink(&name, &temporary).map_err(at(&temporary))?;
    fs::rename(&temporary, &link).map_err(at(&link))?;
    link_names(folder, files)?;
    remove_others(folder, files, &name);
    Ok(true)
}

fn is_same(old: &Path, files: &Payload) -> bool {
    let same = |(path, file): (&String, &PayloadFile)| {
        let path = old.join(path);
        let mode = fs::symlink_metadata(&path).map(|found| found.permissions().mode() & 0o777);
        mode.is_ok_and(|mode| mode & 0o700 == file.mode & 0o700)
            && fs::read(&path).is_ok_and(|bytes| bytes == file.bytes)
    };
    files.iter().all(same) && count(old) == files.len()
}

fn count(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
}

fn make_folder(folder: &Path, group: Option<u32>) -> Result<(), WriteError> {
    fs::DirBuilder::new().mode(0o755).create(folder).map_err(at(folder))?;
    own(folder, group)
}

fn own(path: &Path, group: Option<u32>) -> Result<(), WriteError> {
    match group {
        Some(_) => chown(path, None, group).map_err(at(path)),
        None => Ok(()),
    }
}

fn write(new: &Path, path: &str, file: &PayloadFile, group: Option<u32>) -> Result<(), WriteError> {
    let mut folder = new.to_owned();
    let (parents, _) = path.rsplit_once('/').unwrap_or_default();
    for part in parents.split('/').filter(|part| !part.is_empty()) {
        folder.push(part);
        if !folder.is_dir() {
            make_folder(&folder, group)?;
        }
    }
    let full = new.join(path);
    // The group reads what the owner reads.
    let mode = if group.is_some() { file.mode | (file.mode & 0o400) >> 3 } else { file.mode };
    let mut open = fs::OpenOptions::new();
    let mut written = open.write(true).create_new(true).mode(0o600).open(&full).map_err(at(&full))?;
    io::Write::write_all(&mut written, &file.bytes).map_err(at(&full))?;
    own(&full, group)?;
    written.set_permissions(fs::Permissions::from_mode(mode)).map_err(at(&full))
}

/// The names that containers read: the first part of each path.
fn names(files: &Payload) -> impl Iterator<Item = &str> {
    let mut last = "";
    files.keys().filter_map(move |path| {
        let name = path.split('/').next().unwrap_or_default();
        (std::mem::replace(&mut last, name) != name).then_some(name)
    })
}

fn link_names(folder: &Path, files: &Payload) -> Result<(), WriteError> {
    for name in names(files) {
        let (path, to) = (folder.join(name), Path::new(DATA).join(name));
        if fs::read_link(&path).ok().as_deref() != Some(&*to) {
            let _ = fs::remove_file(&path);
            symlink(&to, &path).map_err(at(&path))?;
        }
    }
    Ok(())
}

/// Links to files that are no more, and folders of before.
fn remove_others(folder: &Path, files: &Payload, now: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_kept = name == DATA || name == now || names(files).any(|kept| kept == name);
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        // Best effort: what stays is taken away the next time.
        match (is_kept, is_link) {
            (true, _) => {}
            (false, true) => drop(fs::remove_file(entry.path())),
            (false, false) if name.starts_with("..") => drop(fs::remove_dir_all(entry.path())),
            (false, false) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(pairs: &[(&str, &str)]) -> Payload {
        let file = |text: &str| PayloadFile { bytes: text.as_bytes().to_vec(), mode: 0o640 };
        pairs.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect()
    }

    fn seen(folder: &Path) -> String {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with(".."))
            .collect();
        names.sort();
        let one = |name: &String| match fs::read_to_string(folder.join(name)) {
            Ok(text) => format!("{name}={text}"),
            Err(_) => format!("{name}/{}", seen(&folder.join(name))),
        };
        names.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn files_change_all_at_once_and_only_when_they_differ() {
        let folder = tempfile::tempdir().unwrap();
        let check = |pairs: &[(&str, &str)], version: &str, changes: bool, expected: &str| {
            assert_eq!(
                write_atomically(folder.path(), &files(pairs), None, version).unwrap(),
                changes,
                "{version}"
            );
            assert_eq!(seen(folder.path()), expected, "{version}");
            let hidden = fs::read_dir(folder.path())
                .unwrap()
                .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".."));
            assert_eq!(hidden.count(), 2, "{version}: the link and one folder");
        };
        check(&[("a", "1"), ("x/b", "2")], "1", true, "a=1 x/b=2");
        check(&[("a", "1"), ("x/b", "2")], "2", false, "a=1 x/b=2");
        check(&[("a", "3"), ("x/c/d", "4")], "3", true, "a=3 x/c/d=4");
        check(&[("x", "5")], "4", true, "x=5");
        check(&[], "5", true, "");
    }

    #[test]
    fn what_was_left_half_done_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        write_atomically(folder.path(), &files(&[("a", "1")]), None, "1").unwrap();
        // Stopped before the names were linked, with a folder that was being written.
        fs::remove_file(folder.path().join("a")).unwrap();
        fs::create_dir(folder.path().join("..2")).unwrap();
        symlink("..2", folder.path().join(NEW_DATA)).unwrap();
        assert!(!write_atomically(folder.path(), &files(&[("a", "1")]), None, "2").unwrap());
        assert_eq!(seen(folder.path()), "a=1");
        assert!(write_atomically(folder.path(), &files(&[("a", "2")]), None, "2").unwrap());
        assert_eq!(seen(folder.path()), "a=2");
    }

    #[test]
    fn files_have_the_modes_that_were_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        write_atomically(folder.path(), &files(&[("a", "1")]), None, "1").unwrap();
        let mode = fs::metadata(folder.path().join("a")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }
}
