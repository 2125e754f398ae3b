//! A command that goes on showing something.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use super::{LIMIT, everynode};

/// A command in a pipe, killed when dropped.
pub struct Watch {
    child: Child,
    told: Receiver<String>,
}

impl Watch {
    /// Runs a command, such as `status -w`, on the cluster of a kubeconfig.
    pub fn of(kubeconfig: &Path, arguments: &[&str]) -> Watch {
        let mut watch = everynode();
        watch.args(arguments).arg("--kubeconfig").arg(kubeconfig).stdout(Stdio::piped());
        let mut child = watch.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, told) = channel();
        std::thread::spawn(move || {
            while let Some(Ok(line)) = lines.next() {
                let _ = tell.send(line);
            }
        });
        Watch { child, told }
    }

    /// Waits for a line with this part, after those that were waited for before.
    #[track_caller]
    pub fn wait_for(&self, part: &str) {
        let deadline = Instant::now() + LIMIT;
        let mut seen = Vec::new();
        while !seen.last().is_some_and(|line: &String| line.contains(part)) {
            let left = deadline.saturating_duration_since(Instant::now());
            seen.push(self.told.recv_timeout(left).unwrap_or_else(|_| panic!("no {part:?} in {seen:#?}")));
        }
    }

    /// Whether it goes on.
    pub fn goes_on(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Presses Ctrl-C.
    pub fn end(mut self) -> ExitStatus {
        let interrupt = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(interrupt.unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
