# The image: one binary, not root; the root file system may be read-only.
#   docker build -t strop .
#   docker build -t strop-debug --target debug .     # what a debugger needs beside it: strop.debug
#   docker run --rm -p 8000:8000 -v ./config/bookedbarber.toml:/etc/strop/strop.toml:ro strop
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock rust-toolchain.toml ./
COPY src src
COPY config config
COPY benches benches
# The allocator writes into the binary when it was compiled: without a date the same tree gives the same bytes.
RUN SOURCE_DATE_EPOCH=0 cargo build --release --locked --bin strop
RUN objcopy --only-keep-debug target/release/strop strop.debug \
    && objcopy --strip-all --add-gnu-debuglink=strop.debug target/release/strop strop

FROM scratch AS debug
COPY --from=build /src/strop.debug /

FROM debian:bookworm-slim
COPY --from=build /src/strop /usr/local/bin/strop
COPY deploy/runbooks /usr/share/strop/runbooks
RUN install -d -o 65532 -g 65532 /var/lib/strop
ENV STATE_DIRECTORY=/var/lib/strop
VOLUME /var/lib/strop
USER 65532:65532
# Ingress, forward proxy, admin. The last two listen on loopback unless the config says otherwise.
EXPOSE 8000 3128 9901
HEALTHCHECK --interval=10s --timeout=3s CMD ["/usr/local/bin/strop", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/strop"]
CMD ["run"]
