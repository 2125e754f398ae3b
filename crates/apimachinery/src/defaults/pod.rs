//! Defaults of pods and pod templates (specification N1 and 5.1).

use everynode_model::access::{Fill, Read};
use everynode_model::{Object, Value};

use super::{image, resources};

/// Mode of files in configMap, secret, downwardAPI and projected volumes: octal 644.
const FILE_MODE: i32 = 0o644;

/// Defaults of the template in the field `template` of `owner`.
pub(crate) fn template(owner: &mut Value) {
    if let Some(template) = owner.make("template")
        && let Some(spec) = template.make("spec")
    {
        self::spec(spec);
    }
}

/// Defaults of a pod's spec and of a template's spec alike.
pub(crate) fn spec(spec: &mut Value) {
    if !spec.is_object() {
        return;
    }
    spec.fill("restartPolicy", "Always");
    spec.fill("terminationGracePeriodSeconds", 30);
    spec.fill("dnsPolicy", "ClusterFirst");
    spec.fill("schedulerName", "default-scheduler");
    spec.fill("securityContext", Value::Object(Object::new()));
    service_account_alias(spec);
    for volume in spec.items_mut("volumes") {
        self::volume(volume);
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.items_mut(list) {
            self::container(container);
            resources::round_up(container);
        }
    }
    resources::round_up(spec);
    resources::round_up_list(spec, "overhead");
}

/// Defaults that only pods get, not templates.
pub(crate) fn pod_only(spec: &mut Value) {
    let host_network = spec.flag("hostNetwork");
    for list in ["initContainers", "containers"] {
        for container in spec.items_mut(list) {
            resources::requests_from_limits(container);
            if host_network {
                host_ports(container);
            }
        }
    }
    resources::of_pod(spec);
    spec.fill("enableServiceLinks", true);
}

/// `serviceAccount` is the old name of `serviceAccountName`; both are served, the new one wins.
fn service_account_alias(spec: &mut Value) {
    let name = match (spec.text("serviceAccountName"), spec.text("serviceAccount")) {
        ("", "") => return,
        ("", old) => old.to_owned(),
        (new, _) => new.to_owned(),
    };
    spec.put("serviceAccountName", name.clone());
    spec.put("serviceAccount", name);
}

/// With the host's network, ports of containers are ports of the host.
fn host_ports(container: &mut Value) {
    for port in container.items_mut("ports") {
        let number = port.number("containerPort");
        if port.number("hostPort") == 0 && number != 0 {
            port.put("hostPort", number);
        }
    }
}

fn container(container: &mut Value) {
    let policy = image::pull_policy(container.text("image"));
    container.fill("terminationMessagePath", "/dev/termination-log");
    container.fill("terminationMessagePolicy", "File");
    container.fill("imagePullPolicy", policy);
    for port in container.items_mut("ports") {
        port.fill("protocol", "TCP");
    }
    for variable in container.items_mut("env") {
        if let Some(field) = variable.at_mut("valueFrom.fieldRef") {
            field.fill("apiVersion", "v1");
        }
        if let Some(file) = variable.at_mut("valueFrom.fileKeyRef") {
            file.fill("optional", false);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(name) {
            self::probe(probe);
        }
    }
    for hook in ["lifecycle.postStart.httpGet", "lifecycle.preStop.httpGet"] {
        if let Some(get) = container.at_mut(hook) {
            http_get(get);
        }
    }
}

fn probe(probe: &mut Value) {
    probe.fill("timeoutSeconds", 1);
    probe.fill("periodSeconds", 10);
    probe.fill("successThreshold", 1);
    probe.fill("failureThreshold", 3);
    if let Some(get) = probe.get_mut("httpGet") {
        http_get(get);
    }
    if let Some(grpc) = probe.get_mut("grpc") {
        grpc.fill("service", "");
    }
}

fn http_get(get: &mut Value) {
    get.fill("path", "/");
    get.fill("scheme", "HTTP");
}

/// Defaults of one volume.
fn volume(volume: &mut Value) {
    let without_source = volume.as_object().is_some_and(|object| object.keys().all(|key| key == "name"));
    if without_source {
        volume.put("emptyDir", Value::Object(Object::new()));
        return;
    }
    sources(volume);
    for source in ["configMap", "secret", "downwardAPI", "projected"] {
        if let Some(source) = volume.get_mut(source) {
            source.fill("defaultMode", FILE_MODE);
            field_refs(source);
        }
    }
    for source in volume.items_mut("projected.sources") {
        if let Some(downward) = source.get_mut("downwardAPI") {
            field_refs(downward);
        }
        if let Some(token) = source.get_mut("serviceAccountToken") {
            token.fill("expirationSeconds", 3600);
        }
    }
    if let Some(image) = volume.get_mut("image") {
        let policy = image::pull_policy(image.text("reference"));
        image.fill("pullPolicy", policy);
    }
    if let Some(claim) = volume.at_mut("ephemeral.volumeClaimTemplate.spec") {
        claim.fill("volumeMode", "Filesystem");
    }
}

fn field_refs(source: &mut Value) {
    for item in source.items_mut("items") {
        if let Some(field) = item.get_mut("fieldRef") {
            field.fill("apiVersion", "v1");
        }
    }
}

/// Defaults of sources that pods and persistent volumes share.
pub(crate) fn sources(volume: &mut Value) {
    let mut set = |source: &str, key: &str, value: Value| {
        if let Some(source) = volume.get_mut(source) {
            source.fill(key, value);
        }
    };
    set("hostPath", "type", "".into());
    set("iscsi", "iscsiInterface", "default".into());
    set("rbd", "pool", "rbd".into());
    set("rbd", "user", "admin".into());
    set("rbd", "keyring", "/etc/ceph/keyring".into());
    set("azureDisk", "cachingMode", "ReadWrite".into());
    set("azureDisk", "fsType", "ext4".into());
    set("azureDisk", "readOnly", false.into());
    set("azureDisk", "kind", "Shared".into());
    set("scaleIO", "storageMode", "ThinProvisioned".into());
    set("scaleIO", "fsType", "xfs".into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Checks one field of a spec after defaults for a template, or for a pod.
    fn check(of_pod: bool, mut spec: Value, field: &str, expected: Value) {
        if of_pod {
            pod_only(&mut spec);
        }
        self::spec(&mut spec);
        assert_eq!(spec.pointer(field), Some(&expected), "{field} of {spec}");
    }

    fn container(fields: Value) -> Value {
        json!({"containers": [fields]})
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        check(false, json!({}), "/terminationGracePeriodSeconds", json!(30));
        check(false, json!({"serviceAccount": "a"}), "/serviceAccountName", json!("a"));
        check(
            false,
            json!({"serviceAccount": "a", "serviceAccountName": "b"}),
            "/serviceAccount",
            json!("b"),
        );
        let port = container(json!({"ports": [{"containerPort": 80}]}));
        check(false, port, "/containers/0/ports/0/protocol", json!("TCP"));
        let probe = container(json!({"livenessProbe": {"httpGet": {"port": 1}, "periodSeconds": 5}}));
        check(false, probe.clone(), "/containers/0/livenessProbe/httpGet/path", json!("/"));
        check(false, probe.clone(), "/containers/0/livenessProbe/periodSeconds", json!(5));
        check(false, probe, "/containers/0/livenessProbe/failureThreshold", json!(3));
        let env = container(json!({"env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "a"}}}]}));
        check(false, env, "/containers/0/env/0/valueFrom/fieldRef/apiVersion", json!("v1"));
        let volume = |source: Value| json!({"volumes": [source]});
        check(false, volume(json!({"name": "v"})), "/volumes/0/emptyDir", json!({}));
        let secret = volume(json!({"name": "v", "secret": {"secretName": "s"}}));
        check(false, secret, "/volumes/0/secret/defaultMode", json!(420));
        check(false, volume(json!({"hostPath": {"path": "/"}})), "/volumes/0/hostPath/type", json!(""));
    }

    #[test]
    fn pods_get_more_than_templates() {
        let ports = |network: bool| {
            let mut spec = container(json!({"ports": [{"containerPort": 80}]}));
            spec.put("hostNetwork", network);
            spec
        };
        check(true, ports(true), "/containers/0/ports/0/hostPort", json!(80));
        check(true, ports(false), "/containers/0/ports/0", json!({"containerPort": 80, "protocol": "TCP"}));
        check(false, ports(true), "/containers/0/ports/0", json!({"containerPort": 80, "protocol": "TCP"}));
        let limits = container(json!({"resources": {"limits": {"cpu": "1"}}}));
        check(true, limits.clone(), "/containers/0/resources/requests", json!({"cpu": "1"}));
        check(false, limits, "/containers/0/resources", json!({"limits": {"cpu": "1"}}));
        check(true, json!({}), "/enableServiceLinks", json!(true));
    }
}
