//! Pods that a node reads from files of its own, as its agent takes them: what the API server makes of a pod that needs
//! nobody's admission.

use everynode_apimachinery::decode::{Body, decode_body};
use everynode_apimachinery::schema::type_named;
use everynode_apimachinery::status::Status;
use everynode_model::Value;
use everynode_model::access::{Fill, Read};
use serde_json::json;

use crate::pod::pod_resource;
use crate::{check_new, convert_and_default};

/// Reads the manifest of a static pod of a node, in YAML or JSON. The pod is bound to the node, has its name behind its
/// own, and tolerates what would drive it away, as the kubelet has it.
///
/// # Errors
/// The refusal of the API, or that it refers to objects of the API: it has to run without one.
pub fn static_pod(manifest: &[u8], node: &str) -> Result<Value, Status> {
    let resource = pod_resource()?;
    let ty = type_named(resource.type_name).ok_or_else(|| Status::internal("pods are not known"))?;
    let expected = Body { group: "", version: "v1", kind: "Pod", ty };
    let mut pod = decode_body(&expected, manifest, true)?.value;
    let name = format!("{}-{node}", pod.text("metadata.name").to_lowercase());
    let namespace = match pod.text("metadata.namespace") {
        "" => "default".to_owned(),
        namespace => namespace.to_owned(),
    };
    if let Some(metadata) = pod.make("metadata") {
        metadata.put("name", name);
        metadata.put("namespace", namespace);
    }
    if let Some(spec) = pod.make("spec") {
        spec.put("nodeName", node);
        let everything = json!({ "operator": "Exists", "effect": "NoExecute" });
        match spec.get_mut("tolerations").and_then(Value::as_array_mut) {
            Some(tolerations) => tolerations.push(everything),
            None => spec.put("tolerations", json!([everything])),
        }
    }
    convert_and_default(resource, &mut pod)?;
    resource.rules.prepare_create(&mut pod);
    match reference(&pod) {
        Some(field) => {
            Err(Status::bad_request(format!("a static pod cannot refer to objects of the API: {field}")))
        }
        None => check_new(resource, &pod).map(|()| pod),
    }
}

/// The first field by which a pod refers to another object.
fn reference(pod: &Value) -> Option<String> {
    const OF_VOLUMES: [&str; 5] = ["secret", "configMap", "persistentVolumeClaim", "projected", "ephemeral"];
    const OF_ENVIRONMENT: [&str; 4] =
        ["valueFrom.configMapKeyRef", "valueFrom.secretKeyRef", "configMapRef", "secretRef"];
    let own = ["spec.serviceAccountName", "spec.serviceAccount"];
    if let Some(field) = own.into_iter().find(|field| !pod.text(field).is_empty()) {
        return Some(field.to_owned());
    }
    let of =
        |item: &Value, fields: &[&'static str]| fields.iter().find(|field| item.at(field).is_some()).copied();
    let volumes = pod.items("spec.volumes").iter().filter_map(|one| Some(("volumes", of(one, &OF_VOLUMES)?)));
    let containers = ["spec.initContainers", "spec.containers"].into_iter().flat_map(|list| pod.items(list));
    let sources = containers.flat_map(|one| one.items("env").iter().chain(one.items("envFrom")));
    let sources = sources.filter_map(|one| Some(("env", of(one, &OF_ENVIRONMENT)?)));
    volumes.chain(sources).next().map(|(list, field)| format!("{list}[].{field}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(more: &str) -> Result<Value, Status> {
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n  containers: [{{name: c, image: i}}]\n{more}"
        );
        static_pod(text.as_bytes(), "w1")
    }

    #[test]
    fn a_static_pod_is_of_its_node_and_has_its_defaults() {
        let pod = read("").unwrap();
        assert_eq!(pod["metadata"]["name"], "web-w1");
        assert_eq!(pod["metadata"]["namespace"], "default");
        assert_eq!(pod["spec"]["nodeName"], "w1");
        assert_eq!(pod["spec"]["tolerations"], json!([{"operator": "Exists", "effect": "NoExecute"}]));
        assert_eq!(pod["spec"]["containers"][0]["imagePullPolicy"], "Always");
        assert_eq!(pod["status"]["qosClass"], "BestEffort");
    }

    #[test]
    fn what_is_no_pod_or_needs_the_api_is_refused() {
        for wrong in [
            "  volumes: [{name: v, secret: {secretName: s}}]",
            "  serviceAccountName: a",
            "  restartPolicy: Maybe",
            "  hostPID: 7",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "kind: Pod", "kind: Service\napiVersion: v1\nmetadata: {name: x}", "{"] {
            assert!(static_pod(wrong.as_bytes(), "w1").is_err(), "{wrong}");
        }
    }
}
