# Tasks for people who work on everynode. `just` lists them.

default:
    @just --list

# Everything that CI checks.
ci:
    .ci/run

# Start a cluster with the examples.
up *args:
    cargo run --release -- up -f examples/ {{ args }}

# Tests of one crate.
test crate:
    cargo test -p everynode-{{ crate }}

# Circles of files, and crates that depend on one above them.
structure:
    cargo test -p everynode-testkit --test structure

# Formatting and lints.
lint:
    cargo fmt --all
    cargo clippy --workspace --all-targets -- -D warnings

# Licences, advisories and sources of dependencies (needs cargo-deny).
deny:
    cargo deny check

# The engine's benchmarks: cost per event and bytes per pod.
bench-engine:
    cargo bench -p everynode-engine

# The dashboard's: first paint, bytes, frames, memory. Words narrow it: 5000, 100000, snapshot, live.
bench-dashboard *words:
    cargo bench -p everynode-dashboard --bench page -- {{words}}

# The cluster's benchmarks: start, saturation, roll-out, durable creates, idle memory.
bench-up:
    cargo bench -p everynode-cli

# Coverage-guided fuzzing of one reader (`ls fuzz/fuzz_targets`), for some seconds. Needs cargo-fuzz and a C++
# compiler; the sanitizer is asked of the stable compiler.
fuzz target seconds="60":
    RUSTC_BOOTSTRAP=1 cargo fuzz run {{ target }} -- -max_total_time={{ seconds }} -max_len=8192 -timeout=10 -rss_limit_mb=2048

# All small worlds (crates/engine/tests/small_worlds.rs).
small-worlds:
    EVERYNODE_SMALL_WORLDS=all cargo test --release -p everynode-engine --test small_worlds -- --nocapture

# Worlds in virtual time with all faults: `just simulate --seeds 10000`, `just simulate --seed 7 --trace`,
# `just simulate rollouts --seeds 10000` (under policies), `just simulate hostile` (with a hostile namespace user), `just simulate edits`, `just simulate systematic`.
simulate *args:
    cargo run --release -p everynode-simulation -- {{ args }}

# How well a new revision is judged, on synthetic fleets, beside the rules of others (docs/analysis.md).
worlds *args:
    cargo run --release -p everynode-analysis --example worlds -- {{ args }}

# How well outliers are found, on synthetic fleets (docs/analysis.md).
outliers *args:
    cargo run --release -p everynode-analysis --example outliers -- {{ args }}

# What is published: a static binary for Linux, its SHA-256, and the list of what it is made of (CycloneDX), in
# target/release-files. Needs rustup, the musl C compiler (Debian: musl-tools), and cargo-cyclonedx.
release target="x86_64-unknown-linux-musl":
    rustup target add {{ target }}
    cargo build --release --locked -p everynode-cli --target {{ target }}
    cargo cyclonedx --manifest-path crates/cli/Cargo.toml --format json --target {{ target }} --override-filename everynode.cdx
    rm -rf target/release-files && mkdir -p target/release-files
    cp target/{{ target }}/release/everynode target/release-files/everynode-{{ target }}
    mv crates/cli/everynode.cdx.json target/release-files/everynode-{{ target }}.cdx.json
    rm -f crates/*/everynode.cdx.json
    cd target/release-files && sha256sum everynode-* > SHA256SUMS && cat SHA256SUMS
