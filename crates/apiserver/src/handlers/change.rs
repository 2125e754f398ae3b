//! PUT and PATCH of an object, or of a part of it.

use everynode_admission::convert_and_default;
use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::Status;
use everynode_model::Value;
use http::Response;

use super::{Call, create};
use crate::authn::User;
use crate::authz::node;
use crate::http::body::Body;
use crate::http::query::WriteOptions;
use crate::meta;
use crate::objects::change::{Change, Changed, Made, Part, apply, apply_managed};
use crate::objects::create::Managed;
use crate::objects::managers::{self, Writer};
use crate::patch::{self, Patch};

/// PUT.
pub async fn update(call: &mut Call<'_>, part: Part, bytes: &[u8]) -> Result<Response<Body>, Status> {
    let options = WriteOptions::parse(&call.query, "UpdateOptions")?;
    let mut object = call.read_object(bytes, options.field_validation)?;
    managers::note_cleared(&mut object, bytes);
    same_name(&mut object, &call.name)?;
    create::ensure_namespace(&mut object, &call.resource, &call.namespace)?;
    if call.find().is_err() && call.resource.create_on_update && part == Part::Main {
        let manager = call.manager().to_owned();
        let writer = Writer { manager: &manager, subresource: "" };
        return create::store(call, object, Managed::By(writer), options.dry_run).await;
    }
    let mut change = |old: &Value| {
        precondition_uid(&call.resource, &call.namespace, &object, old)?;
        check_kubelet(&call.user, &call.resource, part, &object, old)?;
        Ok(object.clone())
    };
    let mut warnings = Vec::new();
    let pinned = meta::has(&object, "resourceVersion");
    let writer = Some(call.writer(part.subresource()));
    let how = Change { part, dry_run: options.dry_run, pinned, writer, ..call.change() };
    let changed = apply(call.state, &how, &mut change, &mut warnings).await?;
    call.warnings.append(&mut warnings);
    Ok(answer(call, changed))
}

/// PATCH.
pub async fn patch(call: &mut Call<'_>, part: Part, bytes: &[u8]) -> Result<Response<Body>, Status> {
    if call.content_type == patch::APPLY {
        return super::apply::apply(call, part, bytes).await;
    }
    let options = WriteOptions::parse(&call.query, "PatchOptions")?;
    let patch = Patch::read(&call.content_type, bytes)?;
    let sees_managers = patch.sees_managers();
    let (resource, namespace, name) = (call.resource.clone(), call.namespace.clone(), call.name.clone());
    let user = call.user.clone();
    let mut unknown = Vec::new();
    let mut change = |old: &Value, managed: &str| {
        let patched = match sees_managers {
            false => patch.apply(&resource, old, options.field_validation)?,
            true => {
                let mut whole = old.clone();
                managers::put(&mut whole, managed);
                patch.apply(&resource, &whole, options.field_validation)?
            }
        };
        unknown = patched.warnings;
        let mut object = patched.object;
        if sees_managers {
            managers::note_cleared(&mut object, bytes);
        }
        convert_and_default(&resource, &mut object)?;
        same_name(&mut object, &name)?;
        create::ensure_namespace(&mut object, &resource, &namespace)?;
        check_kubelet(&user, &resource, part, &object, old)?;
        Ok(Made::from(object))
    };
    let mut warnings = Vec::new();
    let writer = Some(call.writer(part.subresource()));
    let how = Change { part, dry_run: options.dry_run, writer, ..call.change() };
    let changed = apply_managed(call.state, &how, &mut change, &mut warnings).await?;
    call.warnings.append(&mut unknown);
    call.warnings.append(&mut warnings);
    Ok(answer(call, changed))
}

/// Refuses what a kubelet may not change of its node. What a change of the status says of the spec is not taken anyway.
pub fn check_kubelet(
    user: &User,
    resource: &Resource,
    part: Part,
    new: &Value,
    old: &Value,
) -> Result<(), Status> {
    node::check_labels(user, resource, new, Some(old))?;
    match part {
        Part::Main => node::check_taints(user, resource, new, old),
        _ => Ok(()),
    }
}

/// Answers with the object as it is now.
pub fn answer(call: &Call<'_>, changed: Changed) -> Response<Body> {
    match changed {
        Changed::Stored(stored) => call.answer_stored(200, &stored),
        Changed::Shown(object) => call.answer_value(200, object),
    }
}

/// The object gets the name of the path, and may have no other one.
pub fn same_name(object: &mut Value, name: &str) -> Result<(), Status> {
    let given = meta::text(object, "name");
    if given.is_empty() {
        meta::set(object, "name", name);
    } else if given != name {
        return Err(Status::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    Ok(())
}

fn precondition_uid(resource: &Resource, namespace: &str, new: &Value, old: &Value) -> Result<(), Status> {
    let (given, found) = (meta::text(new, "uid"), meta::text(old, "uid"));
    if given.is_empty() || given == found {
        return Ok(());
    }
    let name = meta::text(old, "name");
    let within = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: /registry/{plural}/{within}{name}, ResourceVersion: 0, \
         AdditionalErrorMsg: Precondition failed: UID in precondition: {given}, UID in object meta: {found}",
        plural = resource.plural
    );
    Err(Status::conflict(&resource.group, &resource.plural, name, &why))
}
