//! Reviews: questions that the API answers and does not keep.

use super::row::{ROW, Row};

/// What reviews have in common.
const REVIEW: Row = Row { namespaced: false, verbs: &["create"], ..ROW };

pub(super) const RESOURCES: &[Row] = &[
    Row {
        group: "authentication.k8s.io",
        kind: "SelfSubjectReview",
        plural: "selfsubjectreviews",
        singular: "selfsubjectreview",
        type_name: "authentication.v1.SelfSubjectReview",
        ..REVIEW
    },
    Row {
        group: "authentication.k8s.io",
        kind: "TokenReview",
        plural: "tokenreviews",
        singular: "tokenreview",
        type_name: "authentication.v1.TokenReview",
        ..REVIEW
    },
    Row {
        group: "authorization.k8s.io",
        kind: "LocalSubjectAccessReview",
        plural: "localsubjectaccessreviews",
        singular: "localsubjectaccessreview",
        namespaced: true,
        type_name: "authorization.v1.LocalSubjectAccessReview",
        ..REVIEW
    },
    Row {
        group: "authorization.k8s.io",
        kind: "SelfSubjectAccessReview",
        plural: "selfsubjectaccessreviews",
        singular: "selfsubjectaccessreview",
        type_name: "authorization.v1.SelfSubjectAccessReview",
        ..REVIEW
    },
    Row {
        group: "authorization.k8s.io",
        kind: "SelfSubjectRulesReview",
        plural: "selfsubjectrulesreviews",
        singular: "selfsubjectrulesreview",
        type_name: "authorization.v1.SelfSubjectRulesReview",
        ..REVIEW
    },
    Row {
        group: "authorization.k8s.io",
        kind: "SubjectAccessReview",
        plural: "subjectaccessreviews",
        singular: "subjectaccessreview",
        type_name: "authorization.v1.SubjectAccessReview",
        ..REVIEW
    },
];
