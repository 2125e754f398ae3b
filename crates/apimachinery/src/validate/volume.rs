//! Volumes of a pod.

use std::collections::{HashMap, HashSet};

use everynode_model::access::Read;
use everynode_model::quantity::Quantity;
use everynode_model::{Value, names};

use super::{Errors, Path, Report, claim, env, resource_list};

/// Sources of a volume in the order in which the API looks at them, with the name that it gives them in
/// the message about a second one.
const SOURCES: &[(&str, &str)] = &[
    ("emptyDir", "emptyDir"),
    ("hostPath", "hostPath"),
    ("gitRepo", "gitRepo"),
    ("gcePersistentDisk", "gcePersistentDisk"),
    ("awsElasticBlockStore", "awsElasticBlockStore"),
    ("secret", "secret"),
    ("nfs", "nfs"),
    ("iscsi", "iscsi"),
    ("glusterfs", "glusterfs"),
    ("flocker", "flocker"),
    ("persistentVolumeClaim", "persistentVolumeClaim"),
    ("rbd", "rbd"),
    ("cinder", "cinder"),
    ("cephfs", "cephFS"),
    ("quobyte", "quobyte"),
    ("downwardAPI", "downwarAPI"),
    ("fc", "fc"),
    ("flexVolume", "flexVolume"),
    ("configMap", "configMap"),
    ("azureFile", "azureFile"),
    ("vsphereVolume", "vsphereVolume"),
    ("photonPersistentDisk", "photonPersistentDisk"),
    ("portworxVolume", "portworxVolume"),
    ("azureDisk", "azureDisk"),
    ("storageos", "storageos"),
    ("projected", "projected"),
    ("scaleIO", "scaleIO"),
    ("csi", "csi"),
    ("ephemeral", "ephemeral"),
    ("image", "image"),
];

/// Types of a host path, the empty one first.
const HOST_PATH_TYPES: &[&str] =
    &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// Checks the list of volumes and gives the good ones by name. `pod_name` is empty in templates.
pub(crate) fn volumes<'a>(
    list: &'a [Value],
    pod_name: Option<&str>,
    path: &Path<'_>,
    errors: &mut Errors,
) -> HashMap<&'a str, &'a Value> {
    let made = pod_name.map(|pod| ephemeral_claims(list, pod)).unwrap_or_default();
    let mut known = HashMap::new();
    for (index, volume) in list.iter().enumerate() {
        let before = errors.len();
        let path = path.index(index);
        source(volume, pod_name.is_some(), &path, errors);
        let name = volume.text("name");
        let name_path = path.child("name");
        if name.is_empty() {
            errors.required(name_path, "");
        } else {
            errors.all_invalid(&name_path, name, names::dns_label(name));
        }
        if known.contains_key(name) {
            errors.duplicate(name_path, name);
        }
        if errors.len() == before {
            known.insert(name, volume);
        }
        not_an_ephemeral_claim(volume, &made, &path, errors);
    }
    known
}

/// The names of the claims that are made for the ephemeral volumes of a pod.
fn ephemeral_claims(list: &[Value], pod: &str) -> HashSet<String> {
    let ephemeral = list.iter().filter(|volume| volume.has("ephemeral"));
    ephemeral.map(|volume| format!("{pod}-{}", volume.text("name"))).collect()
}

fn not_an_ephemeral_claim(volume: &Value, made: &HashSet<String>, path: &Path<'_>, errors: &mut Errors) {
    let claim = volume.text("persistentVolumeClaim.claimName");
    if !claim.is_empty() && made.contains(claim) {
        let message = "must not reference a PVC that gets created for an ephemeral volume";
        errors.invalid(path.child("persistentVolumeClaim.claimName"), claim, message);
    }
}

fn source(volume: &Value, of_pod: bool, path: &Path<'_>, errors: &mut Errors) {
    let mut found = 0;
    for (field, name) in SOURCES {
        let Some(source) = volume.at(field) else { continue };
        found += 1;
        if found > 1 {
            errors.forbidden(path.child(name), "may not specify more than 1 volume type");
        } else {
            one_source(field, source, of_pod, &path.child(field), errors);
        }
    }
    if found == 0 {
        errors.required(path, "must specify a volume type");
    }
}

fn one_source(kind: &str, source: &Value, of_pod: bool, path: &Path<'_>, errors: &mut Errors) {
    match kind {
        "emptyDir" => {
            let limit = Quantity::parse(source.text("sizeLimit"));
            if limit.is_ok_and(|limit| limit.is_negative()) {
                let message = "SizeLimit field must be a valid resource quantity";
                errors.forbidden(path.child("sizeLimit"), message);
            }
        }
        "hostPath" => host_path(source, path, errors),
        "secret" => keyed(source, "secretName", path, errors),
        "configMap" => keyed(source, "name", path, errors),
        "nfs" => nfs(source, path, errors),
        "persistentVolumeClaim" => needed(source, "claimName", path, errors),
        "downwardAPI" => {
            mode(source, "defaultMode", path, errors);
            for file in source.items("items") {
                downward_file(file, path, errors);
            }
        }
        "projected" => projected(source, path, errors),
        "csi" => csi(source, path, errors),
        "ephemeral" => match source.at("volumeClaimTemplate") {
            None => errors.required(path.child("volumeClaimTemplate"), ""),
            Some(template) => claim::template(template, &path.child("volumeClaimTemplate"), errors),
        },
        "image" => {
            if of_pod {
                needed(source, "reference", path, errors);
            }
            let policies = &["Always", "IfNotPresent", "Never"];
            errors.one_of(&path.child("pullPolicy"), source.text("pullPolicy"), policies);
        }
        _ => {}
    }
}

fn needed(source: &Value, field: &str, path: &Path<'_>, errors: &mut Errors) {
    if source.text(field).is_empty() {
        errors.required(path.child(field), "");
    }
}

fn host_path(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    let target = source.text("path");
    if target.is_empty() {
        return errors.required(path.child("path"), "");
    }
    no_backsteps(target, &path.child("path"), errors);
    let kind = source.text("type");
    if !HOST_PATH_TYPES.contains(&kind) {
        errors.not_supported(path.child("type"), kind, HOST_PATH_TYPES);
    }
}

/// A path must not climb up.
pub(crate) fn no_backsteps(target: &str, path: &Path<'_>, errors: &mut Errors) {
    if climbs(target) {
        errors.invalid(path, target, "must not contain '..'");
    }
}

/// Whether a path has a step upwards.
pub(crate) fn climbs(target: &str) -> bool {
    target.split('/').any(|step| step == "..")
}

/// A path must be relative and must not climb up.
pub(crate) fn descending(target: &str, path: &Path<'_>, errors: &mut Errors) {
    if target.starts_with('/') {
        errors.invalid(path, target, "must be a relative path");
    }
    no_backsteps(target, path, errors);
}

fn descending_and_free(target: &str, path: &Path<'_>, errors: &mut Errors) {
    descending(target, path, errors);
    if target.starts_with("..") && !target.starts_with("../") {
        errors.invalid(path, target, "must not start with '..'");
    }
}

fn mode(owner: &Value, field: &str, path: &Path<'_>, errors: &mut Errors) {
    if let Some(mode) = owner.number_opt(field)
        && !(0..=0o777).contains(&mode)
    {
        let message = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.invalid(path.child(field), mode, message);
    }
}

fn keyed(source: &Value, name: &str, path: &Path<'_>, errors: &mut Errors) {
    needed(source, name, path, errors);
    mode(source, "defaultMode", path, errors);
    let list = path.child("items");
    for (index, item) in source.items("items").iter().enumerate() {
        key_to_path(item, &list.index(index), errors);
    }
}

fn key_to_path(item: &Value, path: &Path<'_>, errors: &mut Errors) {
    needed(item, "key", path, errors);
    needed(item, "path", path, errors);
    descending_and_free(item.text("path"), &path.child("path"), errors);
    mode(item, "mode", path, errors);
}

fn downward_file(file: &Value, path: &Path<'_>, errors: &mut Errors) {
    needed(file, "path", path, errors);
    descending_and_free(file.text("path"), &path.child("path"), errors);
    match (file.at("fieldRef"), file.at("resourceFieldRef")) {
        (Some(field), resource) => {
            env::field_ref(field, env::FILE_FIELDS, &path.child("fieldRef"), errors);
            if resource.is_some() {
                let message = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.invalid(path, "resource", message);
            }
        }
        (None, Some(resource)) => {
            resource_list::field_ref(resource, true, &path.child("resourceFieldRef"), errors);
        }
        (None, None) => errors.required(path, "one of fieldRef and resourceFieldRef is required"),
    }
    mode(file, "mode", path, errors);
}

fn nfs(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    needed(source, "server", path, errors);
    needed(source, "path", path, errors);
    if !source.text("path").starts_with('/') {
        errors.invalid(path.child("path"), source.text("path"), "must be an absolute path");
    }
}

fn csi(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    driver_name(source.text("driver"), &path.child("driver"), errors);
    let Some(secret) = source.at("nodePublishSecretRef") else { return };
    let name = secret.text("name");
    if name.is_empty() {
        errors.required(path.child("nodePublishSecretRef.name"), "");
    } else {
        errors.all_invalid(&path.child("name"), name, names::dns_subdomain(name));
    }
}

/// Checks the name of a CSI driver.
pub(crate) fn driver_name(name: &str, path: &Path<'_>, errors: &mut Errors) {
    if name.is_empty() {
        return errors.required(path, "");
    }
    if name.len() > 63 {
        errors.push(crate::status::FieldError::too_long(path, 63));
    }
    errors.all_invalid(path, name, names::dns_subdomain(&name.to_lowercase()));
}

fn projected(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    mode(source, "defaultMode", path, errors);
    let mut paths: HashSet<&str> = HashSet::new();
    let list = path.child("sources");
    for (index, projection) in source.items("sources").iter().enumerate() {
        let item = list.index(index);
        let mut found = 0;
        for kind in ["secret", "configMap"] {
            let Some(source) = projection.at(kind) else { continue };
            found += 1;
            projected_keys(source, path, &item.child(kind), &mut paths, errors);
        }
        if let Some(downward) = projection.at("downwardAPI") {
            found += 1;
            for file in downward.items("items") {
                downward_file(file, &item.child("downwardAPI"), errors);
                claim_path(file.text("path"), file.text("path"), path, &mut paths, errors);
            }
        }
        if let Some(token) = projection.at("serviceAccountToken") {
            found += 1;
            service_account_token(token, path, &item.child("serviceAccountToken"), errors);
        }
        found += i32::from(projection.has("clusterTrustBundle"));
        found += i32::from(projection.has("podCertificate"));
        if found > 1 {
            errors.forbidden(item, "may not specify more than 1 volume type per source");
        }
    }
}

fn projected_keys<'a>(
    source: &'a Value,
    volume_path: &Path<'_>,
    path: &Path<'_>,
    paths: &mut HashSet<&'a str>,
    errors: &mut Errors,
) {
    needed(source, "name", path, errors);
    let list = path.child("items");
    for (index, item) in source.items("items").iter().enumerate() {
        key_to_path(item, &list.index(index), errors);
        claim_path(item.text("path"), source.text("name"), volume_path, paths, errors);
    }
}

/// Two projected files may not have one path. `shown` is the value that the message names.
fn claim_path<'a>(
    file: &'a str,
    shown: &str,
    path: &Path<'_>,
    paths: &mut HashSet<&'a str>,
    errors: &mut Errors,
) {
    if file.is_empty() {
        return;
    }
    if !paths.insert(file) {
        errors.invalid(path, shown, "conflicting duplicate paths");
    }
}

fn service_account_token(token: &Value, volume_path: &Path<'_>, path: &Path<'_>, errors: &mut Errors) {
    let seconds = token.number("expirationSeconds");
    if seconds < 600 {
        let message = "may not specify a duration less than 10 minutes";
        errors.invalid(path.child("expirationSeconds"), seconds, message);
    }
    if seconds > 1 << 32 {
        let message = "may not specify a duration larger than 2^32 seconds";
        errors.invalid(path.child("expirationSeconds"), seconds, message);
    }
    if token.text("path").is_empty() {
        errors.required(volume_path.child("path"), "");
    } else {
        descending_and_free(token.text("path"), &volume_path.child("path"), errors);
    }
}
