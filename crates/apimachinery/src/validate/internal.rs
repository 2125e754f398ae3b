//! Values as the API's messages show them.
//!
//! Where a message quotes a whole structure, the API prints its unversioned form: every field, absent or
//! not, under the names of its source code and in their order.

use everynode_model::{Object, Value};

use crate::schema::{Field, Kind, Type, type_named};

/// Types whose fields stand in another order than in the versioned form.
const ORDERS: &[(&str, &[&str])] = &[
    (
        "core.v1.PodSpec",
        &[
            "volumes",
            "initContainers",
            "containers",
            "ephemeralContainers",
            "restartPolicy",
            "terminationGracePeriodSeconds",
            "activeDeadlineSeconds",
            "dnsPolicy",
            "nodeSelector",
            "serviceAccountName",
            "automountServiceAccountToken",
            "nodeName",
            "securityContext",
            "imagePullSecrets",
            "hostname",
            "subdomain",
            "setHostnameAsFQDN",
            "affinity",
            "schedulerName",
            "tolerations",
            "hostAliases",
            "priorityClassName",
            "priority",
            "preemptionPolicy",
            "dnsConfig",
            "readinessGates",
            "runtimeClassName",
            "overhead",
            "enableServiceLinks",
            "topologySpreadConstraints",
            "os",
            "schedulingGates",
            "resourceClaims",
            "resources",
            "hostnameOverride",
            "schedulingGroup",
        ],
    ),
    (
        "core.v1.Container",
        &[
            "name",
            "image",
            "command",
            "args",
            "workingDir",
            "ports",
            "envFrom",
            "env",
            "resources",
            "resizePolicy",
            "restartPolicy",
            "restartPolicyRules",
            "volumeMounts",
            "volumeDevices",
            "livenessProbe",
            "readinessProbe",
            "startupProbe",
            "lifecycle",
            "terminationMessagePath",
            "terminationMessagePolicy",
            "imagePullPolicy",
            "securityContext",
            "stdin",
            "stdinOnce",
            "tty",
        ],
    ),
    (
        "core.v1.SecurityContext",
        &[
            "capabilities",
            "privileged",
            "seLinuxOptions",
            "windowsOptions",
            "runAsUser",
            "runAsGroup",
            "runAsNonRoot",
            "readOnlyRootFilesystem",
            "allowPrivilegeEscalation",
            "procMount",
            "seccompProfile",
            "appArmorProfile",
        ],
    ),
];

/// Fields of the pod's spec that the unversioned form keeps in its security context, with the default of
/// each: a flag or nothing.
const HOST_FIELDS: &[(&str, bool)] = &[
    ("hostNetwork", true),
    ("hostPID", true),
    ("hostIPC", true),
    ("shareProcessNamespace", false),
    ("hostUsers", false),
];

/// The unversioned form of a value of that type.
pub(crate) fn form(type_name: &str, value: &Value) -> Value {
    type_named(type_name).map_or_else(|| value.clone(), |ty| form_of(ty, value))
}

fn form_of(ty: &Type, value: &Value) -> Value {
    let mut out = Object::new();
    for field in ordered(ty) {
        let mut shown = kind(&field.kind, value.get(field.name));
        if ty.name == "core.v1.PodSpec" && field.name == "securityContext" {
            shown = with_host_fields(value, shown);
        }
        out.insert(name(field.name), shown);
    }
    Value::Object(out)
}

fn ordered(ty: &Type) -> Vec<&Field> {
    match ORDERS.iter().find(|(name, _)| *name == ty.name) {
        Some((_, order)) => order.iter().filter_map(|name| ty.field(name)).collect(),
        None => ty.fields.iter().collect(),
    }
}

fn with_host_fields(spec: &Value, context: Value) -> Value {
    let mut out = Object::new();
    for (field, is_flag) in HOST_FIELDS {
        let absent = if *is_flag { Value::Bool(false) } else { Value::Null };
        out.insert(name(field), spec.get(field).cloned().unwrap_or(absent));
    }
    if let Value::Object(context) = context {
        out.extend(context);
    }
    Value::Object(out)
}

fn kind(kind: &Kind, value: Option<&Value>) -> Value {
    let value = value.filter(|value| !value.is_null());
    match (kind, value) {
        (Kind::Pointer(_), None) | (Kind::List(_) | Kind::Map(_) | Kind::Any | Kind::Bytes, None) => {
            Value::Null
        }
        (Kind::Pointer(inner), some) => self::kind(inner, some),
        (Kind::Struct(id), value) => form_of(id.get(), value.unwrap_or(&Value::Null)),
        (Kind::List(inner), Some(Value::Array(items))) => {
            items.iter().map(|item| self::kind(inner, Some(item))).collect()
        }
        (Kind::Map(inner), Some(Value::Object(object))) => {
            let entries = object.iter().map(|(key, item)| (key.clone(), self::kind(inner, Some(item))));
            Value::Object(entries.collect())
        }
        (_, Some(value)) => value.clone(),
        (Kind::Bool, None) => Value::Bool(false),
        (Kind::Int32 | Kind::Int64 | Kind::Float64 | Kind::IntOrString, None) => 0.into(),
        (Kind::Quantity, None) => "0".into(),
        (Kind::Time | Kind::MicroTime, None) => Value::Null,
        (_, None) => "".into(),
    }
}

/// The name in the source code: a capital letter, or several where the name begins with an abbreviation.
fn name(field: &str) -> String {
    const ABBREVIATIONS: &[&str] = &[
        "api", "aws", "csi", "dns", "fc", "fs", "gce", "grpc", "http", "iscsi", "nfs", "os", "rbd", "se",
        "tcp", "tty", "uid",
    ];
    match field {
        "cephfs" => return "CephFS".into(),
        "storageos" => return "StorageOS".into(),
        _ => {}
    }
    let lower = field.find(|letter: char| !letter.is_ascii_lowercase()).unwrap_or(field.len());
    if ABBREVIATIONS.contains(&&field[..lower]) {
        return format!("{}{}", field[..lower].to_uppercase(), &field[lower..]);
    }
    let mut letters = field.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_security_context_is_shown_whole_and_under_its_unversioned_names() {
        let context = json!({"allowPrivilegeEscalation": false, "privileged": true});
        assert_eq!(
            form("core.v1.SecurityContext", &context).to_string(),
            concat!(
                r#"{"Capabilities":null,"Privileged":true,"SELinuxOptions":null,"WindowsOptions":null,"#,
                r#""RunAsUser":null,"RunAsGroup":null,"RunAsNonRoot":null,"ReadOnlyRootFilesystem":null,"#,
                r#""AllowPrivilegeEscalation":false,"ProcMount":null,"SeccompProfile":null,"AppArmorProfile":null}"#
            )
        );
    }
}
