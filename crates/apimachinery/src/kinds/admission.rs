//! Webhook configurations: kept for manifests that bring them; nothing calls the webhooks.

use everynode_model::access::{Fill, Read};
use everynode_model::{Object, Value};

use super::print;
use super::row::{ROW, Row};
use crate::rules::{Column, Rules, strategy};
use crate::validate::{Errors, Path, admission};

pub(super) const RESOURCES: &[Row] = &[
    Row {
        group: "admissionregistration.k8s.io",
        kind: "MutatingWebhookConfiguration",
        plural: "mutatingwebhookconfigurations",
        singular: "mutatingwebhookconfiguration",
        categories: &["api-extensions"],
        namespaced: false,
        type_name: "admissionregistration.v1.MutatingWebhookConfiguration",
        unconditional_update: false,
        rules: &WebhookConfiguration,
        ..ROW
    },
    Row {
        group: "admissionregistration.k8s.io",
        kind: "ValidatingWebhookConfiguration",
        plural: "validatingwebhookconfigurations",
        singular: "validatingwebhookconfiguration",
        categories: &["api-extensions"],
        namespaced: false,
        type_name: "admissionregistration.v1.ValidatingWebhookConfiguration",
        unconditional_update: false,
        rules: &WebhookConfiguration,
        ..ROW
    },
];

/// Rules of both configurations; only mutating webhooks have a reinvocation policy.
#[derive(Debug)]
struct WebhookConfiguration;

impl Rules for WebhookConfiguration {
    fn default(&self, object: &mut Value) {
        let mutating = object.text("kind") == "MutatingWebhookConfiguration";
        for webhook in object.items_mut("webhooks") {
            webhook.fill("failurePolicy", "Fail");
            webhook.fill("matchPolicy", "Equivalent");
            webhook.fill("namespaceSelector", Object::new());
            webhook.fill("objectSelector", Object::new());
            webhook.fill("timeoutSeconds", 10);
            if mutating {
                webhook.fill("reinvocationPolicy", "Never");
            }
            if let Some(service) = webhook.at_mut("clientConfig.service") {
                service.fill("port", 443);
            }
            for rule in webhook.items_mut("rules") {
                rule.fill("scope", "*");
            }
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        strategy::first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::raise_generation(new, old, new.get("webhooks") != old.get("webhooks"));
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let list = Path::root("webhooks");
        for (index, webhook) in object.items("webhooks").iter().enumerate() {
            let path = list.index(index);
            let conditions = webhook.items("matchConditions");
            admission::match_conditions(conditions, false, &path.child("matchConditions"), errors);
        }
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        // What is stored already may stay.
        if new.get("webhooks") != old.get("webhooks") {
            self.validate_create(new, errors);
        }
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let kind = new.text("kind");
        let sentence = "everynode stores it and calls no webhooks";
        match new.items("webhooks").is_empty() {
            true => Vec::new(),
            false => vec![format!("admissionregistration.k8s.io/v1 {kind}: {sentence}")],
        }
    }

    fn columns(&self) -> &'static [Column] {
        print::cluster::WEBHOOKS
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::cluster::webhooks(object, now)
    }
}
