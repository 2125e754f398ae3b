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

# The cluster's benchmarks: start, saturation, roll-out, durable creates, idle memory.
bench-up:
    cargo bench -p everynode-cli
