//! Service accounts: every pod has one, and its token in a volume.

use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::Status;
use everynode_model::access::Read;
use everynode_model::{Object, Value};

use crate::forbid;
use crate::view::{Kind, View};

const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";

/// The life of a projected token: one hour and what the API adds to tell these tokens apart, in seconds.
const TOKEN_SECONDS: i64 = 3_607;

/// `0644`
const VOLUME_MODE: i64 = 420;

/// Gives a pod its service account, that account's pull secrets, and the volume with its token, whose name ends in
/// `suffix`.
pub(crate) fn admit(
    view: &dyn View,
    resource: &Resource,
    pod: &mut Value,
    suffix: &str,
) -> Result<(), Status> {
    if pod.pointer("/metadata/annotations/kubernetes.io~1config.mirror").is_some() {
        return Ok(());
    }
    let named = pod.pointer("/spec/serviceAccountName").and_then(Value::as_str).unwrap_or("");
    let name = if named.is_empty() { "default" } else { named }.to_owned();
    let namespace = pod.text("metadata.namespace").to_owned();
    let account = view.get(Kind::ServiceAccount, &namespace, &name).ok_or_else(|| {
        let why = format!(
            "error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"
        );
        forbid(resource, pod, &why)
    })?;
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return Ok(()) };
    // The second one is the old name of the field; the API serves both.
    for field in ["serviceAccountName", "serviceAccount"] {
        spec.insert(field.into(), name.clone().into());
    }
    if wants_token(spec, &account) {
        mount_token(spec, suffix);
    }
    let secrets = spec.get("imagePullSecrets").and_then(Value::as_array);
    if secrets.is_none_or(Vec::is_empty)
        && let Some(secrets) = account.get("imagePullSecrets")
    {
        spec.insert("imagePullSecrets".into(), secrets.clone());
    }
    Ok(())
}

/// The pod decides, then the account; otherwise the token is mounted.
fn wants_token(spec: &Object, account: &Value) -> bool {
    let own = spec.get("automountServiceAccountToken").and_then(Value::as_bool);
    own.or(account.get("automountServiceAccountToken").and_then(Value::as_bool)).unwrap_or(true)
}

/// Adds the volume, and its mount to every container that has nothing at that path.
fn mount_token(spec: &mut Object, suffix: &str) {
    let volumes = spec.get("volumes").and_then(Value::as_array);
    let present = volumes.into_iter().flatten().find_map(|volume| {
        let name = volume.get("name")?.as_str()?;
        (name.starts_with(VOLUME_PREFIX) && volume.get("projected").is_some()).then(|| name.to_owned())
    });
    let name = present.clone().unwrap_or_else(|| format!("{VOLUME_PREFIX}{suffix}"));
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
            mounted |= mount(container, &name);
        }
    }
    if mounted && present.is_none() {
        let volumes = spec.entry("volumes").or_insert_with(|| Value::Array(Vec::new()));
        if volumes.is_null() {
            *volumes = Value::Array(Vec::new());
        }
        if let Some(volumes) = volumes.as_array_mut() {
            volumes.push(token_volume(&name));
        }
    }
}

fn mount(container: &mut Object, volume: &str) -> bool {
    let mounts = container.entry("volumeMounts").or_insert_with(|| Value::Array(Vec::new()));
    if mounts.is_null() {
        *mounts = Value::Array(Vec::new());
    }
    let Some(mounts) = mounts.as_array_mut() else { return false };
    if mounts.iter().any(|mount| mount.get("mountPath").and_then(Value::as_str) == Some(MOUNT_PATH)) {
        return false;
    }
    mounts.push(object(vec![
        ("name", volume.into()),
        ("readOnly", true.into()),
        ("mountPath", MOUNT_PATH.into()),
    ]));
    true
}

fn token_volume(name: &str) -> Value {
    let token = object(vec![("expirationSeconds", TOKEN_SECONDS.into()), ("path", "token".into())]);
    let certificate = object(vec![("key", "ca.crt".into()), ("path", "ca.crt".into())]);
    let authority =
        object(vec![("name", "kube-root-ca.crt".into()), ("items", Value::Array(vec![certificate]))]);
    let field = object(vec![("apiVersion", "v1".into()), ("fieldPath", "metadata.namespace".into())]);
    let namespace = object(vec![("path", "namespace".into()), ("fieldRef", field)]);
    let downward = object(vec![("items", Value::Array(vec![namespace]))]);
    let sources = vec![
        object(vec![("serviceAccountToken", token)]),
        object(vec![("configMap", authority)]),
        object(vec![("downwardAPI", downward)]),
    ];
    let projected = object(vec![("sources", Value::Array(sources)), ("defaultMode", VOLUME_MODE.into())]);
    object(vec![("name", name.into()), ("projected", projected)])
}

fn object(fields: Vec<(&str, Value)>) -> Value {
    Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}
