//! Jobs and cron jobs.

use super::{ROW, status};
use crate::resource::Resource;

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        group: "batch",
        kind: "CronJob",
        plural: "cronjobs",
        singular: "cronjob",
        short_names: &["cj"],
        categories: &["all"],
        subresources: &[status("CronJob")],
        type_name: "batch.v1.CronJob",
        ..ROW
    },
    Resource {
        group: "batch",
        kind: "Job",
        plural: "jobs",
        singular: "job",
        categories: &["all"],
        subresources: &[status("Job")],
        type_name: "batch.v1.Job",
        selectable_fields: &["status.successful"],
        ..ROW
    },
];
