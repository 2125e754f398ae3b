//! The client and the runtime in memory beside a real containerd: the same rules are held against both.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod containerd;
mod image;
mod pods;
mod rules;
mod stage;

use everynode_cri::messages::{ImageSpec, PullImageRequest};
use everynode_cri::testing::{FakeRuntime, Generation};

use containerd::{Containerd, LIMIT};
use image::IMAGE;
use stage::Stage;

async fn in_memory(generation: Generation) -> Stage {
    let fake = FakeRuntime::new(generation, 1_700_000_000_000_000_000);
    fake.offer_image(IMAGE);
    let client = fake.client();
    let image = Some(ImageSpec { image: IMAGE.to_owned(), ..Default::default() });
    client.call(PullImageRequest { image, ..Default::default() }, LIMIT).await.unwrap();
    Stage { client, fake: Some(fake), cgroup: "/memory".to_owned(), logs: "/nowhere".into() }
}

fn on(containerd: &Containerd) -> Stage {
    Stage {
        client: containerd.client(),
        fake: None,
        cgroup: containerd.cgroup().to_owned(),
        logs: containerd.folder().join("logs"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_runtime_in_memory_keeps_the_rules() {
    for generation in [Generation::Old, Generation::New] {
        rules::all(&in_memory(generation).await).await;
    }
}

#[tokio::test]
async fn a_containerd_keeps_the_rules() {
    let Some(containerd) = Containerd::start().await else { return };
    rules::all(&on(&containerd)).await;
}
