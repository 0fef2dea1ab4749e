# extauthz alone, for use beside an Envoy that is there already. docs/docker.md says how it is built, run and replaced.
#
#   docker build --tag extauthz:0.1.0 .                                 the transport grpcio
#   docker build --tag extauthz:0.1.0-pyvoy --target pyvoy .            both transports, and the Envoy that one is inside of
#
# Everything that is installed is pinned by a hash (deploy/docker/*.lock). The base image is pinned by its version alone:
# this repository has no way to ask a registry which digest is the one of today, and one copied from elsewhere would be
# an image that nobody here has seen. Pin yours when you build:
#
#   docker build --build-arg PYTHON_IMAGE=python:3.13.14-slim-trixie@sha256:… .

ARG PYTHON_IMAGE=python:3.13.14-slim-trixie

FROM ${PYTHON_IMAGE} AS tools
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY deploy/docker/build.lock ./
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes --only-binary :all: --requirement build.lock

FROM tools AS wheel
# What every request goes through is compiled; nothing of this stage but the wheel is in an image. Debian keeps one
# version of a package at a time: one that is named here would be gone with the next mend.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
# The compiler is told which ways are usual by decisions that are made here: these need what the server needs.
COPY deploy/docker/grpcio.lock ./
RUN /opt/build/bin/pip install --require-hashes --only-binary :all: --requirement grpcio.lock
COPY pyproject.toml hatch_build.py hatch_training.py README.md LICENSE ./
COPY extauthz ./extauthz
# The revision that `extauthz --version` tells: --build-arg REVISION=$(git rev-parse --short=12 HEAD)
ARG REVISION
RUN EXTAUTHZ_REVISION=${REVISION} EXTAUTHZ_COMPILED=required /opt/build/bin/hatchling build --target wheel --directory /wheel

# There is no pip in what is installed: what runs installs nothing.
FROM tools AS grpcio-installed
COPY deploy/docker/grpcio.lock ./
RUN python -m venv --without-pip /opt/extauthz \
    && /opt/build/bin/pip --python /opt/extauthz/bin/python install --require-hashes --only-binary :all: --requirement grpcio.lock
COPY --from=wheel /wheel /wheel
RUN /opt/build/bin/pip --python /opt/extauthz/bin/python install --no-index --no-deps /wheel/*.whl

FROM tools AS pyvoy-installed
COPY deploy/docker/pyvoy.lock ./
RUN python -m venv --without-pip /opt/extauthz \
    && /opt/build/bin/pip --python /opt/extauthz/bin/python install --require-hashes --only-binary :all: --requirement pyvoy.lock
COPY --from=wheel /wheel /wheel
RUN /opt/build/bin/pip --python /opt/extauthz/bin/python install --no-index --no-deps /wheel/*.whl

FROM ${PYTHON_IMAGE} AS runtime
ARG PYTHON_IMAGE
ARG VERSION=0.1.0
ARG REVISION
LABEL org.opencontainers.image.title="extauthz" \
    org.opencontainers.image.description="The decision point that Envoy asks before it lets a request through" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.base.name="${PYTHON_IMAGE}"
# The user has a number alone: nothing needs its name.
RUN install --directory --mode 0700 --owner 65532 --group 65532 /var/lib/extauthz
ENV PATH=/opt/extauthz/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp \
    EXTAUTHZ_CONFIG=/etc/extauthz/extauthz.yaml
USER 65532:65532
# pyvoy looks for Python's library in the working folder, too: one that the server can't write to.
WORKDIR /
VOLUME /var/lib/extauthz
EXPOSE 9191 9192 9193 9194
STOPSIGNAL SIGTERM
# Where `listen.grpc` of the configuration says; 0 is SERVING.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["extauthz", "health"]
ENTRYPOINT ["extauthz"]

FROM runtime AS pyvoy
COPY --from=pyvoy-installed /opt/extauthz /opt/extauthz
CMD ["serve", "--transport", "pyvoy"]

# The last one is what `docker build` makes.
FROM runtime AS grpcio
COPY --from=grpcio-installed /opt/extauthz /opt/extauthz
CMD ["serve"]
