//! How long a test waits for its API.
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panic")]

use everynode_testapi::TestApi;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams};

fn main() {
    divan::main();
}

/// From nothing to the answer to a client's first request.
#[divan::bench(sample_count = 30)]
fn start_and_first_answer(bencher: divan::Bencher<'_, '_>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    bencher.bench_local(|| {
        runtime.block_on(async {
            let api = TestApi::start().await;
            let namespaces: Api<Namespace> = Api::all(kube::Client::new(api.service(), "default"));
            let found = namespaces.list(&ListParams::default()).await.unwrap().items.len();
            assert!(found >= 4);
            api
        })
    });
}
