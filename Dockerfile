# syntax=docker/dockerfile:1
# The operator's image: distroless, non-root, one binary. Build: docker build -t aidp .
FROM rust:1.95-bookworm AS build
WORKDIR /src
# cargo-auditable puts the list of dependencies into the binary: an SBOM that scanners (trivy, grype, cargo audit) read.
RUN cargo install cargo-auditable --version 0.7.7 --locked
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo auditable build --release --locked --bin aidp && cp target/release/aidp /aidp

FROM gcr.io/distroless/cc-debian12:nonroot
ARG VERSION=dev
LABEL org.opencontainers.image.title="aidp" \
      org.opencontainers.image.description="Keeps AI training data encrypted, private, read-only to training roles, and reachable over TLS only" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/aidp-dev/aidp" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /aidp /usr/bin/aidp
USER 65532:65532
ENTRYPOINT ["/usr/bin/aidp"]
