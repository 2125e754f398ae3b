//! Leases: heartbeats of nodes, and leader election.

use everynode_model::Value;
use everynode_model::access::{Fill, Read};

use super::print;
use super::row::{ROW, Row};
use crate::rules::{Column, Rules};
use crate::validate::{Errors, Path, Report};

pub(super) const RESOURCES: &[Row] = &[Row {
    group: "coordination.k8s.io",
    kind: "Lease",
    plural: "leases",
    singular: "lease",
    type_name: "coordination.v1.Lease",
    create_on_update: true,
    unconditional_update: false,
    rules: &Lease,
    ..ROW
}];

#[derive(Debug)]
struct Lease;

impl Rules for Lease {
    fn prepare_create(&self, object: &mut Value) {
        drop_election_fields(object);
    }

    fn prepare_update(&self, new: &mut Value, _old: &Value) {
        drop_election_fields(new);
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let path = Path::root("spec");
        if let Some(seconds) = object.number_opt("spec.leaseDurationSeconds")
            && seconds <= 0
        {
            errors.invalid(path.child("leaseDurationSeconds"), seconds, "must be greater than 0");
        }
        errors.not_negative(&path.child("leaseTransitions"), object.number("spec.leaseTransitions"));
    }

    fn columns(&self) -> &'static [Column] {
        print::cluster::LEASE
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::cluster::lease(object, now)
    }
}

/// Fields of coordinated leader election, which is switched off.
fn drop_election_fields(lease: &mut Value) {
    if let Some(spec) = lease.get_mut("spec") {
        spec.take_out("strategy");
        spec.take_out("preferredHolder");
    }
}
