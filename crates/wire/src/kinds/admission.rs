//! Webhook configurations: kept for manifests that bring them; nothing calls the webhooks.

use super::ROW;
use crate::resource::Resource;

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        group: "admissionregistration.k8s.io",
        kind: "MutatingWebhookConfiguration",
        plural: "mutatingwebhookconfigurations",
        singular: "mutatingwebhookconfiguration",
        categories: &["api-extensions"],
        namespaced: false,
        type_name: "admissionregistration.v1.MutatingWebhookConfiguration",
        unconditional_update: false,
        ..ROW
    },
    Resource {
        group: "admissionregistration.k8s.io",
        kind: "ValidatingWebhookConfiguration",
        plural: "validatingwebhookconfigurations",
        singular: "validatingwebhookconfiguration",
        categories: &["api-extensions"],
        namespaced: false,
        type_name: "admissionregistration.v1.ValidatingWebhookConfiguration",
        unconditional_update: false,
        ..ROW
    },
];
