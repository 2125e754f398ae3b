//! What the oldest kind of all tells: how the parts of the control plane are. Only the store is known here.

use everynode_apimachinery::status::Status;
use http::Response;
use serde_json::json;

use super::Call;
use crate::http::body::Body;
use crate::http::verb::Verb;
use crate::view;

/// The name under which the store is looked for.
const STORE: &str = "etcd-0";

/// Answers with the state of the store, which answers whoever gets this far.
pub fn answer(call: &Call<'_>, verb: Verb) -> Result<Response<Body>, Status> {
    let state = |typed: bool| {
        let mut object = json!({
            "metadata": { "name": STORE },
            "conditions": [{ "type": "Healthy", "status": "True", "message": "ok" }],
        });
        if typed {
            object = json!({
                "kind": "ComponentStatus",
                "apiVersion": "v1",
                "metadata": object["metadata"],
                "conditions": object["conditions"],
            });
        }
        object
    };
    match verb {
        Verb::Get if call.name == STORE => Ok(call.answer_value(200, state(true))),
        // The one kind that is refused by its singular name.
        Verb::Get => Err(Status::not_found("", &call.resource.singular, &call.name)),
        Verb::List => {
            Ok(call.answer(200, view::unstored_list(&call.resource, vec![state(false)], call.shape())))
        }
        _ => Err(Status::method_not_allowed()),
    }
}
