//! An agent whose machine runs short of something.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod support;

use std::time::Duration;

use everynode_agent::Signal;
use everynode_cri::messages::{ImageSpec, ListImagesRequest, PullImageRequest};
use everynode_testkit::wait::eventually;
use serde_json::json;
use support::{LIMIT, Stage, is_ready};

const DEADLINE: Duration = Duration::from_secs(5);

/// The names of the images that the runtime has.
async fn images(stage: &Stage) -> Vec<String> {
    let listed = stage.runtime.client().call(ListImagesRequest::default(), DEADLINE).await.unwrap();
    listed.images.into_iter().flat_map(|image| image.repo_tags).collect()
}

async fn pull(stage: &Stage, name: &str) {
    stage.runtime.offer_image(name);
    let image = Some(ImageSpec { image: name.to_owned(), ..ImageSpec::default() });
    let request = PullImageRequest { image, ..PullImageRequest::default() };
    stage.runtime.client().call(request, DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_that_nobody_uses_go_when_their_disk_is_full() {
    let mut stage = Stage::start().await;
    stage.create("p", json!({})).await;
    stage.until("p", "the pod runs", is_ready).await;
    pull(&stage, "example.com/unused:1").await;
    stage.stop_agent().await;
    stage.leave(Signal::ImageFsAvailable, 14);
    stage.start_agent().await;
    eventually("the image that is used is left", LIMIT, async || match images(&stage).await {
        left if left == ["example.com/daemon:1"] => Ok(()),
        left => Err(format!("{left:?}")),
    })
    .await;
    stage.stop().await;
}
