# docker build -t everynode:0.1.0 .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY crates crates
# `everynode install` carries these files.
COPY deploy/kustomize deploy/kustomize
RUN cargo build --release --locked -p everynode-cli

# glibc, libgcc and certificates; no shell. Its user nonroot is 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/everynode /usr/local/bin/everynode
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/everynode"]
CMD ["--help"]
