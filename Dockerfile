# All three programs in one small image; which one runs is the command's choice.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --workspace --bins \
    && mkdir /out \
    && cp target/release/rapidbridge target/release/rapidbridge-scheduler target/release/rapidbridge-worker /out/

FROM debian:12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin rapidbridge
COPY --from=build /out/ /usr/local/bin/
COPY scripts/http-health.sh /usr/local/bin/http-health
USER 10001:10001
WORKDIR /
EXPOSE 8080
CMD ["rapidbridge-scheduler"]
