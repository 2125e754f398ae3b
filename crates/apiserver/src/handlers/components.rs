//! What the oldest kind of all tells: how the parts of the control plane are.

use everynode_apimachinery::status::Status;
use everynode_model::Value;
use http::Response;
use serde_json::json;

use super::Call;
use crate::http::body::Body;
use crate::http::verb::Verb;
use crate::view;

/// Answers with the state of the store, which answers whoever gets this far, and of the parts beside the server.
pub fn answer(call: &Call<'_>, verb: Verb) -> Result<Response<Body>, Status> {
    let components = call.state.config.components;
    let parts = [
        ("scheduler", components.scheduler),
        ("controller-manager", components.controller_manager),
        ("etcd-0", true),
    ];
    match verb {
        Verb::Get => match parts.iter().find(|(name, _)| *name == call.name) {
            Some((name, healthy)) => {
                let mut whole = json!({ "kind": "ComponentStatus", "apiVersion": "v1" });
                if let (Value::Object(whole), Value::Object(part)) = (&mut whole, component(name, *healthy)) {
                    whole.extend(part);
                }
                Ok(call.answer_value(200, whole))
            }
            // The one kind that is refused by its singular name.
            None => Err(Status::not_found("", &call.resource.singular, &call.name)),
        },
        Verb::List => {
            let items = parts.iter().map(|(name, healthy)| component(name, *healthy)).collect();
            Ok(call.answer(200, view::unstored_list(&call.resource, items, call.shape())))
        }
        _ => Err(Status::method_not_allowed()),
    }
}

fn component(name: &str, healthy: bool) -> Value {
    let (status, message) =
        if healthy { ("True", "ok") } else { ("False", "it does not run in the process of this server") };
    json!({
        "metadata": { "name": name },
        "conditions": [{ "type": "Healthy", "status": status, "message": message }],
    })
}
