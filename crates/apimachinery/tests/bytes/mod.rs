//! Everything of this crate and of `model` that reads bytes from outside, each as a function of any bytes. None may
//! panic; what is read must say the same when it is written and read again.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use everynode_apimachinery::decode::{Body, decode, decode_body};
use everynode_apimachinery::field_selector::FieldSelector;
use everynode_apimachinery::json;
use everynode_apimachinery::managed::{Context, ManagedFields, Reset, Versions, View, read_fields};
use everynode_apimachinery::patch::{json_patch, merge_patch, strategic_merge};
use everynode_apimachinery::resource::Model;
use everynode_apimachinery::schema::{Type, type_named};
use everynode_apimachinery::status::Status;
use everynode_apimachinery::{manifest, resource_for_kind};
use everynode_model::quantity::{self, Quantity};
use everynode_model::{self as model, AnyObject, LabelSelector, time};
use everynode_model::{Value, encode};

/// A reader of bytes and its name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("watch", watch),
    ("body", body),
    ("documents", documents),
    ("patch", patch),
    ("apply", apply),
    ("managers", managers),
    ("selector", selector),
    ("quantities", quantities),
    ("times", times),
    ("refusal", refusal),
];

/// Whatever was read is made use of by being there.
fn used<T>(_: T) {}

/// A line of a watch, as each kind reads it.
pub fn watch(bytes: &[u8]) {
    used(model::event::<AnyObject<'_>>(bytes));
    used(model::event::<model::Node<'_>>(bytes));
    used(model::event::<model::ControllerRevision<'_>>(bytes));
    used(model::NodePlacement::read(bytes));
    if let Ok(event) = model::event::<model::Pod<'_>>(bytes) {
        let metadata = &event.object.metadata;
        used((event.object.target_node(), metadata.version(), metadata.created_seconds()));
        used((metadata.controller(), event.object.waiting_reason()));
        used((event.object.spec.needs(), event.object.spec.wishes()));
    }
}

fn ty(name: &str) -> &'static Type {
    type_named(name).unwrap()
}

/// The body of a request: decoded, filled in and checked.
pub fn body(bytes: &[u8]) {
    for (kind, group) in [("DaemonSet", "apps"), ("Pod", ""), ("Node", ""), ("ControllerRevision", "apps")] {
        let version = "v1";
        let resource = resource_for_kind(group, version, kind).unwrap();
        let expected = Body { group, version, kind, ty: ty(resource.type_name) };
        for is_yaml in [false, true] {
            let Ok(decoded) = decode_body(&expected, bytes, is_yaml) else { continue };
            let mut object = decoded.value;
            let again = decode(expected.ty, &encode::to_vec(&object)).unwrap();
            assert_eq!(again.value, object, "{kind}: what is written reads back");
            if resource.rules.convert(&object).is_err() {
                continue;
            }
            resource.rules.default(&mut object);
            resource.rules.prepare_create(&mut object);
            let mut errors = Vec::new();
            resource.rules.validate_create(&object, &mut errors);
            errors.iter().for_each(|error| used(error.to_string()));
            used(resource.rules.warnings(&object, None));
            used(resource.rules.cells(&object, 0));
            resource.rules.validate_update(&object, &object.clone(), &mut errors);
        }
    }
}

/// A file of manifests.
pub fn documents(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for document in manifest::documents(&text).into_iter().flatten() {
        used(encode::canonical(&document.value));
    }
}

/// A patch of each kind, applied to a DaemonSet.
pub fn patch(bytes: &[u8]) {
    const ORIGINAL: &str = r#"{"metadata":{"name":"a","labels":{"a":"b"},"finalizers":["x/y"]},"spec":{"template":{"spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":1,"protocol":"TCP"}],"env":[{"name":"A","value":"1"}]}],"tolerations":[{"operator":"Exists"}],"volumes":[{"name":"v","emptyDir":{}}]}}}}"#;
    let original: Value = serde_json::from_str(ORIGINAL).unwrap();
    let ty = ty("apps.v1.DaemonSet");
    for apply in [json_patch, merge_patch, strategic_merge] {
        match apply(ty, &original, bytes) {
            Ok(patched) => used(patched.strict()),
            Err(refused) => used(refused.to_value()),
        }
    }
}

/// One version of a type, and no other.
struct One(Model);

impl Versions for One {
    fn view(&self, version: &str) -> Option<View<'_>> {
        (version == "apps/v1").then(|| View::of(&self.0))
    }

    fn convert(&self, object: &Value, to: &str) -> Option<Value> {
        (to == "apps/v1").then(|| object.clone())
    }

    fn nothing(&self) -> Value {
        Value::Object(Default::default())
    }
}

const APPLIED: &str = r#"{"apiVersion":"apps/v1","kind":"DaemonSet","metadata":{"name":"a","labels":{"a":"b"},"finalizers":["x/y"]},"spec":{"template":{"spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":1,"protocol":"TCP"}],"env":[{"name":"A","value":"1"}]}],"tolerations":[{"operator":"Exists"}],"volumes":[{"name":"v","emptyDir":{}}]}}}}"#;

/// Who writes what is applied.
fn written<'c>(versions: &'c One, reset: &'c Reset, manager: &'c str) -> Context<'c> {
    Context { versions, version: "apps/v1", manager, subresource: "", reset, now: 1 }
}

/// A configuration, applied to a DaemonSet that somebody else has.
pub fn apply(bytes: &[u8]) {
    let json = json::parse(bytes).ok();
    let yaml = manifest::parse_yaml(&String::from_utf8_lossy(bytes)).ok().map(|yaml| yaml.value);
    let (versions, reset) = (One(Model::Typed(ty("apps.v1.DaemonSet"))), Reset::NOTHING);
    let live: Value = serde_json::from_str(APPLIED).unwrap();
    for config in [json, yaml].into_iter().flatten().filter(Value::is_object) {
        let first = written(&versions, &reset, "first");
        let managed = first.update(&versions.nothing(), &live, ManagedFields::default(), true);
        used(written(&versions, &reset, "second").apply(&live, &config, managed.clone(), false));
        let Ok(applied) = written(&versions, &reset, "second").apply(&live, &config, managed, true) else {
            continue;
        };
        let text = applied.managed.text();
        assert_eq!(ManagedFields::stored(&text).text(), text, "what is written reads back");
        used(first.update(&applied.object, &live, applied.managed, false));
    }
}

/// Entries of managers, as a client sends them, and one field set.
pub fn managers(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    used(read_fields(&text));
    let Ok(value) = json::parse(bytes) else { return };
    let (versions, reset) = (One(Model::Typed(ty("apps.v1.DaemonSet"))), Reset::NOTHING);
    let live: Value = serde_json::from_str(APPLIED).unwrap();
    if let Ok(managed) = ManagedFields::read(&value) {
        let text = managed.text();
        assert_eq!(ManagedFields::stored(&text).text(), text, "what is written reads back");
        let mut new = live.clone();
        new["spec"]["template"]["spec"]["containers"][0]["image"] = "j".into();
        used(written(&versions, &reset, "x").update(&live, &new, managed.clone(), false).text());
        used(written(&versions, &reset, "x").apply(&new, &live, managed, false));
    }
}

/// Selectors in text and as objects.
pub fn selector(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(selector @ LabelSelector::All(_)) = LabelSelector::parse(&text) {
        let again = LabelSelector::parse(&selector.to_string()).unwrap();
        assert_eq!(again.to_string(), selector.to_string(), "{text:?}");
        selector.selects(|key| (key.len() > 1).then_some("1"));
    }
    if let Ok(selector) = FieldSelector::parse(&text) {
        // Terms are sorted as they were written, so that another spelling may give another order.
        let terms = |selector: &FieldSelector| {
            let mut terms: Vec<String> = selector.terms().iter().map(|one| format!("{one:?}")).collect();
            terms.sort();
            terms
        };
        let again = FieldSelector::parse(&selector.to_string()).unwrap();
        assert_eq!(terms(&again), terms(&selector), "{text:?}");
    }
    if let Ok((object, _)) = json::parse_strict(bytes) {
        used(LabelSelector::from_object(&object));
    }
}

/// An amount.
pub fn quantities(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(canonical) = quantity::canonical(&text) else { return };
    // `62.5Ki` is written `64000`, and that `64k`: it settles with the second reading.
    let settled = quantity::canonical(&canonical).unwrap();
    assert_eq!(quantity::canonical(&settled).unwrap(), settled, "{text:?}");
    let amount = Quantity::parse(&text).unwrap();
    assert_eq!(Quantity::parse(&settled).unwrap(), amount, "{text:?}");
    used((amount.add(&amount).to_string(), amount.subtract(&amount).is_zero(), amount.millis()));
}

/// A time.
pub fn times(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(seconds) = time::parse(&text) {
        assert_eq!(time::parse(&time::format(seconds)).unwrap(), seconds, "{text:?}");
        used(time::age(seconds, 0));
    }
    used(time::parse_micros(&text).map(time::format_micros));
}

/// A refusal of a server.
pub fn refusal(bytes: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<Value>(bytes) {
        used(Status::from_value(value));
    }
}
