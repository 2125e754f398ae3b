//! The alerts of `deploy/monitoring`, as Prometheus reads them.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use std::process::Command;

use everynode_testkit::{have_promtool, repository};

#[test]
fn alerts_fire_on_what_they_are_for_and_on_nothing_else() {
    if !have_promtool() {
        return;
    }
    for arguments in [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]] {
        let mut promtool = Command::new("promtool");
        let output =
            promtool.args(arguments).current_dir(repository().join("deploy/monitoring")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
}
