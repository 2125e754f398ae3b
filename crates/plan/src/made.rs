//! What the API server makes of the pods of a template.

use std::sync::Arc;

use everynode_admission::{Charge, View, convert_and_default, create_pod, generated_name, pod_resource};
use everynode_apimachinery::decode::{Body, decode_body};
use everynode_apimachinery::schema;
use everynode_apimachinery::status::Status;
use everynode_engine::fit::Demand;
use everynode_engine::placement::Placement;
use everynode_engine::{DaemonSetRef, NewPod, Time, pod_body, pod_placement};
use everynode_model::encode;
use everynode_model::time;
use serde_json::Value;

/// What ends names that the server makes.
const SUFFIX: &str = "xxxxx";
/// The uid of pods that are not there yet.
const UID: &str = "00000000-0000-4000-8000-000000000002";

/// A pod as the API server stores it, and what of it decides.
#[derive(Clone, Debug)]
pub struct Made {
    /// The pod.
    pub pod: Value,
    /// What it needs of its node.
    pub demand: Arc<Demand>,
    /// What it asks of its node, beside that it is the one that it is for.
    pub placement: Arc<Placement>,
    /// What it takes of quotas.
    pub charge: Arc<Charge>,
    /// spec.priority.
    pub priority: i32,
    /// It may push pods of lower priority out.
    pub preempts: bool,
    /// spec.schedulerName.
    pub scheduler: String,
}

impl Made {
    /// Makes a pod as the controller asks for it.
    ///
    /// # Errors
    /// Why the API server refuses it.
    pub fn of(view: &dyn View, daemonset: &DaemonSetRef, new: &NewPod, now: Time) -> Result<Made, Status> {
        let resource = pod_resource()?;
        let missing = || Status::internal("pods are not known");
        let ty = schema::type_named(resource.type_name).ok_or_else(missing)?;
        let body = Body { group: "", version: "v1", kind: "Pod", ty };
        let mut pod = decode_body(&body, &encode::to_vec(&pod_body::body(daemonset, new)), false)?.value;
        convert_and_default(resource, &mut pod)?;
        let seconds = now.seconds();
        create_pod(view, &mut pod, SUFFIX, |pod| {
            let metadata = &mut pod["metadata"];
            if let (Value::Null, Some(base)) = (&metadata["name"], metadata["generateName"].as_str()) {
                metadata["name"] = generated_name(base, SUFFIX).into();
            }
            metadata["uid"] = UID.into();
            metadata["creationTimestamp"] = time::format(seconds).into();
        })?;
        let spec = &pod["spec"];
        let mut placement = pod_placement(spec);
        // The controller puts the node that the pod is for in their place.
        placement.required_terms = None;
        Ok(Made {
            demand: Arc::new(Demand::of_pod(spec)),
            placement: Arc::new(placement),
            charge: Arc::new(Charge::of(&pod, seconds)),
            priority: spec["priority"].as_i64().and_then(|value| i32::try_from(value).ok()).unwrap_or(0),
            preempts: spec["preemptionPolicy"] != "Never",
            scheduler: spec["schedulerName"].as_str().unwrap_or_default().to_owned(),
            pod,
        })
    }
}
