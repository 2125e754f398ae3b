# docker build -t everynode:0.1.0 .
#
# Tags can come to mean other images. docs/install.md says how to name both bases by their digests:
# --build-arg BUILD_IMAGE=rust@sha256:... --build-arg BASE_IMAGE=gcr.io/distroless/cc-debian12@sha256:...
ARG BUILD_IMAGE=rust:1.95-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY crates crates
# `everynode install` carries these files.
COPY deploy/kustomize deploy/kustomize
# The engine's documentation carries the specification.
COPY spec spec
RUN cargo build --release --locked -p everynode-cli

# glibc, libgcc and certificates; no shell. Its user nonroot is 65532.
FROM ${BASE_IMAGE}
COPY --from=build /src/target/release/everynode /usr/local/bin/everynode
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/everynode"]
CMD ["--help"]
