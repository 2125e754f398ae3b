//! Which pods are created and deleted: specification 1.C and 1.D.

mod common;

use common::{Cluster, node_name, refused};
use everynode_engine::placement::Effect;
use everynode_engine::{Phase, Time};
use serde_json::{Value, json};

fn on_delete(object: &mut Value) {
    object["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
}

fn surge(object: &mut Value) {
    object["spec"]["updateStrategy"]["rollingUpdate"] = json!({"maxUnavailable": 0, "maxSurge": 1});
}

#[test]
fn every_node_gets_one_pod_and_then_there_is_rest() {
    for strategy in [on_delete, |_: &mut Value| {}, surge] {
        let mut cluster = Cluster::new(5);
        let uid = cluster.add("ds", strategy);
        assert_eq!(cluster.run(), (5, 0));
        cluster.make_ready();
        assert_eq!(cluster.run(), (0, 0));
        let status = cluster.daemonset(uid).status;
        assert_eq!(
            (status.desired_number_scheduled, status.number_available, status.observed_generation),
            (5, 5, 1)
        );
        assert_eq!((status.updated_number_scheduled, status.number_unavailable), (5, 0));
    }
}
