//! Pod templates that a kube-apiserver 1.36 refused, changed or warned of, and what it said.

#![allow(clippy::expect_used)]

use everynode_apimachinery::resource_for_kind;
use everynode_model::Value;
use serde_json::json;

/// A DaemonSet whose template has this spec beside a container, as it is stored.
fn daemon_set(annotations: &Value, spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "x", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "x"}},
            "template": {"metadata": {"labels": {"app": "x"}, "annotations": annotations}, "spec": spec},
        },
    });
    let template = &mut object["spec"]["template"]["spec"];
    if template.get("containers").is_none() {
        template["containers"] = json!([{"name": "c", "image": "i"}]);
    }
    let rules = &resource_for_kind("apps", "v1", "DaemonSet").expect("a kind").rules;
    rules.default(&mut object);
    rules.prepare_create(&mut object);
    object
}

fn check_all(annotations: &Value, spec: Value, refusals: &[&str], warnings: &[&str]) {
    let object = daemon_set(annotations, spec);
    let rules = &resource_for_kind("apps", "v1", "DaemonSet").expect("a kind").rules;
    let mut errors = Vec::new();
    rules.validate_create(&object, &mut errors);
    let short = |text: &str| text.strip_prefix("spec.template.").unwrap_or(text).to_owned();
    let errors: Vec<String> = errors.iter().map(|error| short(&error.to_string())).collect();
    assert_eq!(errors, refusals, "{object}");
    let found: Vec<String> = rules.warnings(&object, None).iter().map(|text| short(text)).collect();
    assert_eq!(found, warnings, "{object}");
}

fn check(spec: Value, refusals: &[&str]) {
    check_all(&json!({}), spec, refusals, &[]);
}

fn check_warned(spec: Value, warnings: &[&str]) {
    check_all(&json!({}), spec, &[], warnings);
}

#[test]
fn claims_that_a_pod_brings_along_are_checked() {
    let volume = |source: Value| json!({"volumes": [{"name": "v", "ephemeral": source}]});
    check(volume(json!({})), &["spec.volumes[0].ephemeral.volumeClaimTemplate: Required value"]);
    let claim = |spec: Value| volume(json!({"volumeClaimTemplate": {"spec": spec}}));
    let size = json!({"requests": {"storage": "1Gi"}});
    check(claim(json!({"accessModes": ["ReadWriteOnce"], "resources": size})), &[]);
    check(
        claim(json!({"accessModes": ["Foo"], "resources": {}})),
        &[
            r#"spec.volumes[0].ephemeral.volumeClaimTemplate.spec.accessModes: Unsupported value: "Foo": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod""#,
            "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value",
        ],
    );
}

#[test]
fn claims_of_devices_have_one_source_each() {
    check(
        json!({"resourceClaims": [
            {"name": "a"}, {"name": "a", "resourceClaimName": "x", "resourceClaimTemplateName": "y"},
        ]}),
        &[
            r#"spec.resourceClaims[0]: Invalid value: {"Name":"a","ResourceClaimName":null,"ResourceClaimTemplateName":null}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"#,
            r#"spec.resourceClaims[1].name: Duplicate value: "a""#,
            r#"spec.resourceClaims[1]: Invalid value: {"Name":"a","ResourceClaimName":"x","ResourceClaimTemplateName":"y"}: at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"#,
        ],
    );
    check(
        json!({"resources": {"claims": [{"name": "a"}]}}),
        &[
            "spec.resources.claims: Forbidden: claims may not be set for Resources at pod-level",
            r#"spec.resources.claims[0]: Not found: "a": must be one of the names in pod.spec.resourceClaims which is empty"#,
        ],
    );
}

#[test]
fn variables_are_read_from_files_of_empty_volumes_only() {
    let spec = |volumes: Value| {
        let source = json!({"fileKeyRef": {"volumeName": "v", "path": "p", "key": "K"}});
        json!({
            "volumes": volumes,
            "containers": [{"name": "c", "image": "i", "env": [{"name": "A", "valueFrom": source}]}],
        })
    };
    let path = "spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName";
    check(spec(json!([{"name": "v", "emptyDir": {}}])), &[]);
    check(spec(json!([])), &[&format!(r#"{path}: Not found: "v""#)]);
    check(
        spec(json!([{"name": "v", "hostPath": {"path": "/v"}}])),
        &[&format!(r#"{path}: Invalid value: "v": referenced volume must be of type emptyDir"#)],
    );
}

#[test]
fn single_fields_of_a_pod_are_refused_as_the_api_refuses_them() {
    check(
        json!({"hostnameOverride": "a", "setHostnameAsFQDN": true, "hostNetwork": true}),
        &[
            "spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true",
            "spec.hostnameOverride: Forbidden: may not be specified when hostNetwork is true",
        ],
    );
    check(
        json!({"securityContext": {"seLinuxChangePolicy": "MountOption"}}),
        &[
            r#"spec.securityContext.seLinuxChangePolicy: Unsupported value: "MountOption": supported values: "Recursive""#,
        ],
    );
    check(
        json!({"securityContext": {"windowsOptions": {"gmsaCredentialSpec": ""}}}),
        &[
            r#"spec.securityContext.windowsOptions.gmsaCredentialSpec: Invalid value: "": gmsaCredentialSpec cannot be an empty string"#,
        ],
    );
    check(
        json!({"hostAliases": [{"ip": "010.2.3.4"}, {"ip": "1.2.3"}, {"ip": "::ffff:1.2.3.4"}]}),
        &[
            r#"spec.hostAliases[0].ip: Invalid value: "010.2.3.4": must not have leading 0s"#,
            r#"spec.hostAliases[1].ip: Invalid value: "1.2.3": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"#,
            r#"spec.hostAliases[2].ip: Invalid value: "::ffff:1.2.3.4": must not be an IPv4-mapped IPv6 address"#,
        ],
    );
}

#[test]
fn annotations_that_name_profiles_are_checked() {
    let app_armor = "container.apparmor.security.beta.kubernetes.io/zz";
    check_all(
        &json!({app_armor: "foo"}),
        json!({}),
        &[
            &format!(r#"annotations[{app_armor}]: Invalid value: "zz": container not found"#),
            &format!(
                r#"annotations[{app_armor}]: Invalid value: "foo": invalid AppArmor profile name: "foo""#
            ),
        ],
        &[],
    );
    let key = "container.apparmor.security.beta.kubernetes.io/c";
    let field = |profile: Value| {
        let context = json!({"appArmorProfile": profile});
        json!({"containers": [{"name": "c", "image": "i", "securityContext": context}]})
    };
    let path = "spec.containers[0].securityContext.appArmorProfile";
    check_all(&json!({key: "unconfined"}), field(json!({"type": "Unconfined"})), &[], &[]);
    check_all(
        &json!({key: "runtime/default"}),
        field(json!({"type": "Unconfined"})),
        &[&format!("{path}.type: Forbidden: apparmor type in annotation and field must match")],
        &[],
    );
    check_all(
        &json!({key: "localhost/a"}),
        field(json!({"type": "Localhost", "localhostProfile": "b"})),
        &[&format!(
            "{path}.localhostProfile: Forbidden: apparmor profile in annotation and field must match"
        )],
        &[],
    );
    let seccomp = "seccomp.security.alpha.kubernetes.io/pod";
    let warning = format!(
        r#"metadata.annotations[{seccomp}]: non-functional in v1.27+; use the "seccompProfile" field instead"#
    );
    check_all(&json!({seccomp: "runtime/default"}), json!({}), &[], &[&warning]);
    check_all(
        &json!({seccomp: "foo"}),
        json!({}),
        &[&format!(r#"annotations.{seccomp}: Invalid value: "foo": must be a valid seccomp profile"#)],
        &[&warning],
    );
}

#[test]
fn templates_are_warned_of_what_nodes_take_otherwise() {
    check_warned(
        json!({"imagePullSecrets": [{"name": "a"}, {"name": "a"}, {}]}),
        &[
            r#"spec.imagePullSecrets[1].name: duplicate name "a""#,
            r#"spec.imagePullSecrets[2].name: invalid empty name """#,
        ],
    );
    check_warned(
        json!({"hostAliases": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}, {"ip": "2001:DB8::1"}]}),
        &[
            r#"spec.hostAliases[1].ip: duplicate ip "1.1.1.1""#,
            r#"spec.hostAliases[2].ip: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")"#,
        ],
    );
    let memory = |amount: &str| json!({"containers": [{"name": "c", "image": "i", "resources": {"limits": {"memory": amount}}}]});
    check_warned(memory("1E"), &[]);
    check_warned(
        memory("100m"),
        &[
            r#"spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer"#,
        ],
    );
}

#[test]
fn finalizers_of_built_in_kinds_are_qualified_or_standard_ones() {
    let check = |group: &str, kind: &str, expected: &[&str]| {
        let resource = resource_for_kind(group, "v1", kind).expect("a kind");
        let mut errors = Vec::new();
        let object = json!({"metadata": {"finalizers": ["a.b/c", "orphan", "foo"]}});
        resource.validate_finalizer_names(&object, &mut errors);
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors, expected, "{kind}");
    };
    let refused = "metadata.finalizers[2]: Invalid value: \"foo\": name is neither a standard finalizer name nor is it fully qualified";
    check("apps", "DaemonSet", &[refused]);
    check("", "ConfigMap", &[refused]);
    check("coordination.k8s.io", "Lease", &[]);
}
