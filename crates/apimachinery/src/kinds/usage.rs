//! What nodes and pods use, as metrics-server serves it beside the API: measured when somebody asks, and not kept.

use everynode_model::access::Read;
use everynode_model::quantity::Quantity;
use everynode_model::{Value, quantity};

use super::print;
use super::row::{ROW, Row};
use crate::rules::{Column, Rules};

/// The group.
pub const METRICS: &str = "metrics.k8s.io";

const USAGE: Row = Row { group: METRICS, version: "v1beta1", verbs: &["get", "list"], rules: &Usage, ..ROW };

pub(super) const RESOURCES: &[Row] = &[
    Row {
        kind: "NodeMetrics",
        plural: "nodes",
        singular: "node",
        namespaced: false,
        type_name: "metrics.v1beta1.NodeMetrics",
        ..USAGE
    },
    Row {
        kind: "PodMetrics",
        plural: "pods",
        singular: "pod",
        type_name: "metrics.v1beta1.PodMetrics",
        ..USAGE
    },
];

#[derive(Debug)]
struct Usage;

impl Rules for Usage {
    fn columns(&self) -> &'static [Column] {
        print::cluster::USAGE
    }

    fn cells(&self, object: &Value, _now: i64) -> Vec<Value> {
        let amount = |resource: &str| {
            let of = |part: &Value| part.get("usage").and_then(|usage| quantity::read(usage.get(resource)?));
            let parts = of(object).into_iter().chain(object.items("containers").iter().filter_map(of));
            parts.fold(Quantity::ZERO, |sum, part| sum.add(&part)).to_string().into()
        };
        let name = object.text("metadata.name").into();
        vec![name, amount("cpu"), amount("memory"), object.text("window").into()]
    }
}
