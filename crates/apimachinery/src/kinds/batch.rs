//! Jobs and cron jobs.

use everynode_model::Value;
use everynode_model::access::{Fill, Read};

use super::print;
use super::row::{ROW, Row, status};
use crate::defaults;
use crate::rules::{Column, Rules, strategy};
use crate::validate::{Errors, Path, Report, meta, schedule, workload};

pub(super) const RESOURCES: &[Row] = &[
    Row {
        group: "batch",
        kind: "CronJob",
        plural: "cronjobs",
        singular: "cronjob",
        short_names: &["cj"],
        categories: &["all"],
        subresources: &[status("CronJob")],
        type_name: "batch.v1.CronJob",
        rules: &CronJob,
        ..ROW
    },
    Row {
        group: "batch",
        kind: "Job",
        plural: "jobs",
        singular: "job",
        categories: &["all"],
        subresources: &[status("Job")],
        type_name: "batch.v1.Job",
        selectable_fields: &["status.successful"],
        rules: &Job,
        ..ROW
    },
];

#[derive(Debug)]
struct Job;

impl Rules for Job {
    fn orphans_by_default(&self) -> bool {
        true
    }

    fn orphan_warning(&self) -> Option<&'static str> {
        let warning = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to \
                       remove them or set propagationPolicy=Orphan to suppress this warning";
        Some(warning)
    }

    fn default(&self, object: &mut Value) {
        let labels = object.at("spec.template.metadata.labels").cloned();
        if let Some(labels) = labels
            && let Some(metadata) = object.make("metadata")
        {
            metadata.fill("labels", labels);
        }
        let Some(spec) = object.get_mut("spec") else { return };
        if !spec.has("parallelism") && !spec.has("completions") {
            spec.put("completions", 1);
        }
        spec.fill("parallelism", 1);
        spec.fill("backoffLimit", if spec.has("backoffLimitPerIndex") { i32::MAX } else { 6 });
        spec.fill("completionMode", "NonIndexed");
        spec.fill("suspend", false);
        spec.fill("manualSelector", false);
        let replacement = if spec.has("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
        spec.fill("podReplacementPolicy", replacement);
        failure_policy(spec);
        defaults::pod::template(spec);
    }

    fn prepare_create(&self, object: &mut Value) {
        if !object.flag("spec.manualSelector") {
            select_by_uid(object);
        }
        strategy::create(object, "batch.v1.JobStatus");
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::update(new, old);
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        workload::job(object.get("spec").unwrap_or(&Value::Null), &Path::root("spec"), errors);
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        self.validate_create(new, errors);
        let empty = Value::Null;
        let (new, old) = (new.get("spec").unwrap_or(&empty), old.get("spec").unwrap_or(&empty));
        for field in ["completions", "selector", "completionMode"] {
            meta::immutable_field(new, old, field, &Path::root("spec").child(field), errors);
        }
    }

    fn columns(&self) -> &'static [Column] {
        print::workload::JOB
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::workload::job(object, now)
    }
}

fn failure_policy(spec: &mut Value) {
    for rule in spec.items_mut("podFailurePolicy.rules") {
        for pattern in rule.items_mut("onPodConditions") {
            pattern.fill("status", "True");
        }
    }
}

/// A job selects its pods by its own uid, under the present names of the labels and the old ones.
fn select_by_uid(job: &mut Value) {
    let name = job.text("metadata.name").to_owned();
    let uid = job.text("metadata.uid").to_owned();
    let Some(spec) = job.make("spec") else { return };
    let metadata = spec.make("template").and_then(|template| template.make("metadata"));
    if let Some(labels) = metadata.and_then(|metadata| metadata.make("labels")) {
        labels.fill("job-name", name.clone());
        labels.fill("batch.kubernetes.io/job-name", name);
        labels.fill("controller-uid", uid.clone());
        labels.fill("batch.kubernetes.io/controller-uid", uid.clone());
    }
    let selector = spec.make("selector");
    if let Some(labels) = selector.and_then(|selector| selector.make("matchLabels")) {
        labels.fill("batch.kubernetes.io/controller-uid", uid);
    }
}

/// Characters; a job adds eleven of its own.
const LONGEST_CRON_JOB_NAME: usize = 52;

#[derive(Debug)]
struct CronJob;

impl Rules for CronJob {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec") else { return };
        spec.fill("concurrencyPolicy", "Allow");
        spec.fill("suspend", false);
        spec.fill("successfulJobsHistoryLimit", 3);
        spec.fill("failedJobsHistoryLimit", 1);
        if let Some(job) = spec.at_mut("jobTemplate.spec") {
            failure_policy(job);
            defaults::pod::template(job);
        }
    }

    fn status_type(&self) -> Option<&'static str> {
        Some("batch.v1.CronJobStatus")
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        cron_job(object, errors);
        let name = object.text("metadata.name");
        if name.len() > LONGEST_CRON_JOB_NAME {
            errors.invalid("metadata.name", name, "must be no more than 52 characters");
        }
    }

    fn validate_update(&self, new: &Value, _old: &Value, errors: &mut Errors) {
        cron_job(new, errors);
    }

    fn columns(&self) -> &'static [Column] {
        print::workload::CRON_JOB
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::workload::cron_job(object, now)
    }
}

fn cron_job(object: &Value, errors: &mut Errors) {
    let path = Path::root("spec");
    schedule::schedule(object.text("spec.schedule"), &path.child("schedule"), errors);
    if let Some(zone) = object.at("spec.timeZone").and_then(Value::as_str) {
        schedule::time_zone(zone, &path.child("timeZone"), errors);
    }
    errors
        .not_negative(&path.child("startingDeadlineSeconds"), object.number("spec.startingDeadlineSeconds"));
    let policies = &["Allow", "Forbid", "Replace"];
    errors.one_of(&path.child("concurrencyPolicy"), object.text("spec.concurrencyPolicy"), policies);
    let job = object.at("spec.jobTemplate.spec").unwrap_or(&Value::Null);
    workload::job(job, &path.child("jobTemplate.spec"), errors);
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        errors.not_negative(&path.child(field), object.number(&format!("spec.{field}")));
    }
}
