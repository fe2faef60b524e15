# syntax=docker/dockerfile:1

# Strongroom in a container: the one binary in a small image without a shell, run by a user without rights.
#
#   docker build --tag strongroom .
#   docker run --rm strongroom --help

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# gcc comes with the image and is all that aws-lc and the bundled SQLite need.
# The cache mounts keep the registry and the compiled dependencies between builds; the binary leaves them by `cp`.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin strongroom \
    && cp target/release/strongroom /strongroom \
    && mkdir /data

# glibc, libgcc, CA certificates and time zones; user 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /strongroom /usr/local/bin/strongroom
# A new volume takes over the owner of the directory that it covers.
COPY --from=build --chown=65532:65532 /data /var/lib/strongroom
ENV STRONGROOM_DATA_DIR=/var/lib/strongroom
VOLUME /var/lib/strongroom
# The API. It listens on the container's loopback only until `--listen` says otherwise, and another address needs TLS
# or `--behind-tls-proxy`. The embedded S3 and KMS stay on loopback and are not exposed.
EXPOSE 8080
# No HEALTHCHECK: there is no shell or curl to run one with. Whoever runs the container asks GET /readyz.
USER 65532:65532
WORKDIR /var/lib/strongroom
ENTRYPOINT ["/usr/local/bin/strongroom"]
CMD ["serve"]
