# Any image with Python 3.11 or newer will do.
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
# For networks with a package index, a proxy or a certificate authority of their own. They stay in this stage.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG PIP_PROXY
ARG PIP_CERT
ARG PIP_DEFAULT_TIMEOUT
WORKDIR /build
RUN python3 -m venv /usr/local/lib/statspout
ENV PATH=/usr/local/lib/statspout/bin:$PATH
# The dependencies have a layer of their own, which a change of the code leaves as it is.
COPY pyproject.toml ./
RUN python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' > needed \
 && pip install --no-input --no-cache-dir --disable-pip-version-check --compile -r needed
COPY README.md LICENSE ./
# All three: the package links to the other two.
COPY statspout statspout
COPY repositories repositories
COPY cmd cmd
RUN pip install --no-input --no-cache-dir --disable-pip-version-check --compile '.[all]' \
 && pip uninstall --yes --quiet pip setuptools

FROM ${BASE}
LABEL org.opencontainers.image.title="statspout" \
      org.opencontainers.image.description="What your containers use, routed to the database you already have." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /usr/local/lib/statspout /usr/local/lib/statspout
RUN echo 'statspout:x:10001:10001::/nonexistent:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'statspout:x:10001:' >> /etc/group \
 && mkdir /var/lib/statspout && chown 10001:10001 /var/lib/statspout
ENV PATH=/usr/local/lib/statspout/bin:$PATH
# The official image has Python's own modules without their bytecode, and the user below may not write it: each start
# would compile them anew. Once is enough; 5 MB more.
RUN statspout --demo --once && python3 -c 'import statspout.web.serving, influxdb_client, pymongo, requests'
ENV STATSPOUT_REST_ADDRESS=:8080 \
    STATSPOUT_PROMETHEUS_ADDRESS=:8080 \
    STATSPOUT_HEALTH_ADDRESS=127.0.0.1:8081
EXPOSE 8080
# Asks that address. Another one belongs into the same variable, which this command has as well as the daemon:
# docker run -e STATSPOUT_HEALTH_ADDRESS=... A flag it would not see, and a file comes after the variable.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 CMD ["statspout", "health"]
# Not root, so the engine's socket needs its group: docker run --group-add "$(stat -c %g /var/run/docker.sock)" ...
# Where that is not to be had: --user 0. Nothing but /var/lib/statspout is ever written: --read-only is fine.
USER 10001:10001
# What is queued is delivered within ten seconds of it; docker kills after ten: --stop-timeout 15 leaves room.
STOPSIGNAL SIGTERM
ENTRYPOINT ["statspout"]
