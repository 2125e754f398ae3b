//! The role that is installed for scope rollouts grants what the controller uses there, and nothing else, with and without
//! the option to write templates back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop and speak"
)]

mod common;

use common::agent::Agent;
use common::native::DaemonSets;
use common::permissions::World;
use common::{LIMIT, eventually, get};
use serde_json::{Value, json};

/// Roll-outs of a DaemonSet whose pods another controller makes: one that ends, and one that halts and is to go back.
async fn live(agent: &Agent, rewrite_template: bool) {
    let daemonset = json!({
        "metadata": {"name": "agent"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "updateStrategy": {"type": "OnDelete"},
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {"containers": [{"name": "main", "image": "example/agent:1"}]},
            },
        },
    });
    agent.client.post(&agent.daemonsets(), daemonset.to_string()).await.unwrap();
    let failure = json!({"budget": 1, "action": "Rollback", "rewriteTemplate": rewrite_template});
    agent.policy("careful", json!({"selector": {}, "maxUnavailable": 2, "failure": failure})).await;
    let first = agent.phase_after(&Value::Null, "Complete").await["revision"].clone();
    agent.image("example/agent:2").await;
    let second = agent.phase_after(&first, "Complete").await["revision"].clone();
    agent.image("example/agent:non-existent").await;
    if !rewrite_template {
        agent.phase_after(&second, "Halted").await;
        return;
    }
    eventually("the template is written back", LIMIT, async || {
        let daemonset = get(&agent.client, &agent.daemonset()).await;
        let image = &daemonset["spec"]["template"]["spec"]["containers"][0]["image"];
        if image == "example/agent:2" { Ok(()) } else { Err(image.to_string()) }
    })
    .await;
    agent.phase("careful", "Complete").await;
}

async fn check(rewrite_template: bool, options: &[&str]) {
    let world = World::start().await;
    let _native = DaemonSets::stand_in(world.client.clone().with_user_agent("native"), "default");
    let mut controller = world.controller(&["--scope=rollouts"]);
    live(&Agent { client: world.client.clone(), namespace: "default".into() }, rewrite_template).await;
    world.renewed().await;
    controller.stop();
    world.end_and_compare(options, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_of_scope_rollouts_grants_what_roll_outs_use_and_nothing_else() {
    check(false, &["--scope", "rollouts"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_option_to_write_templates_back_grants_that_and_nothing_else() {
    check(true, &["--scope", "rollouts", "--rewrite-template"]).await;
}
