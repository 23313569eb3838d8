# syntax=docker/dockerfile:1
# The operator's image: distroless, non-root, one binary. Build:
#   docker build -t aidp --build-arg VERSION=0.1.0 --build-arg REVISION=$(git rev-parse HEAD) .
# User, entry point and labels of the node tests' image are read from here (e2e/node/mkimage.py).
FROM rust:1.95-bookworm AS build
WORKDIR /src
# cargo-auditable puts the list of dependencies into the binary: an SBOM that scanners (trivy, grype, cargo audit) read.
RUN cargo install cargo-auditable --version 0.7.7 --locked
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo auditable build --release --locked --bin aidp && cp target/release/aidp /aidp

FROM gcr.io/distroless/cc-debian12:nonroot
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="aidp" \
      org.opencontainers.image.description="Keeps AI training data encrypted, private, read-only to training roles, and reachable over TLS only" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/aidp-dev/aidp" \
      org.opencontainers.image.documentation="https://github.com/aidp-dev/aidp/blob/main/README.md" \
      org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /aidp /usr/bin/aidp
USER 65532:65532
ENTRYPOINT ["/usr/bin/aidp"]
