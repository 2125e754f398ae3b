//! The program of the built-in image, as it runs.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use everynode_testkit::{Need, skip};
use tempfile::TempDir;

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn the_arguments_stand_where_the_instructions_look_for_them() {
    let check = |processor: &Processor, first: usize, second: usize| {
        let end = processor.code.len().next_multiple_of(8);
        assert_eq!((end, end + 32), (first, second), "{}", processor.name);
        assert!(program(processor).len() < 300);
    };
    check(&PROCESSORS[0], 0x11 + 0x3f, 0x2c + 0x44);
    check(&PROCESSORS[1], 0x08 + 0x50, 0x1c + 0x5c);
}

/// The program for this machine, as a file.
fn file(folder: &TempDir) -> Option<PathBuf> {
    let name = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let processor = PROCESSORS.iter().find(|one| one.name == name)?;
    let path = folder.path().join("pause");
    let mut file =
        fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o755).open(&path).unwrap();
    file.write_all(&program(processor)).unwrap();
    Some(path)
}

/// Kills what it holds, however a test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        match condition() {
            Some(found) => return found,
            None => assert!(Instant::now() < deadline, "{what}: not within {LIMIT:?}"),
        }
        std::thread::yield_now();
    }
}

/// Waits until the program has set what it does at signals: the third handler is the one for SIGINT.
fn until_it_waits(id: u32) {
    until("a program that waits", || {
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?.trim().to_owned();
        let caught = u64::from_str_radix(&caught, 16).ok()?;
        (caught & (1 << 14 | 1 << 1) == (1 << 14 | 1 << 1)).then_some(())
    });
}

fn send(signal: &str, id: u32) {
    assert!(Command::new("kill").args([signal, &id.to_string()]).status().unwrap().success());
}

/// What the program exits with, once it has been told to go.
fn exit_code(running: &mut Running) -> Option<i32> {
    until("the end of the program", || running.0.try_wait().unwrap()).code()
}

#[test]
fn it_waits_until_it_is_told_to_go() {
    let folder = TempDir::new().unwrap();
    let Some(path) = file(&folder) else { return };
    for signal in ["-TERM", "-INT"] {
        let mut running = Running(Command::new(&path).spawn().unwrap());
        until_it_waits(running.0.id());
        assert!(running.0.try_wait().unwrap().is_none());
        send(signal, running.0.id());
        assert_eq!(exit_code(&mut running), Some(0), "{signal}");
    }
}

#[test]
fn it_can_be_the_first_process_of_a_namespace() {
    let folder = TempDir::new().unwrap();
    let Some(path) = file(&folder) else { return };
    let can = Command::new("unshare").args(["--pid", "--fork", "true"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        return skip(Need::Root, "no namespace of process ids can be made");
    }
    for signal in ["-TERM", "-INT"] {
        let unshare = ["--pid", "--fork", "--kill-child"];
        let mut running = Running(Command::new("unshare").args(unshare).arg(&path).spawn().unwrap());
        let parent = running.0.id();
        let child = until("a child", || {
            let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
            children.trim().parse().ok()
        });
        until_it_waits(child);
        send(signal, child);
        assert_eq!(exit_code(&mut running), Some(0), "{signal}");
    }
}
