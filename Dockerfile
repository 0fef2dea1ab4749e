# extauthz alone, for use beside an Envoy that is there already (see envoy/gateway.yaml). Mount the configuration and
# the policies at /etc/extauthz. In a container it listens for others, and keeps its state on a volume:
#
#   listen: {grpc: "0.0.0.0:9191", web: "0.0.0.0:9192", admin: "0.0.0.0:9193"}
#   policies: [policies/]
#   store: sqlite:////var/lib/extauthz/extauthz.db
#   keys: /var/lib/extauthz/keys.json

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/extauthz
COPY requirements.lock ./
# The lock pins what tests need as well; here it is a constraint on what the server itself needs.
RUN sed -nE 's/^([A-Za-z0-9._-]+==[^ ;\\]+).*/\1/p' requirements.lock > constraints.txt
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY docs/man ./docs/man
COPY extauthz ./extauthz
RUN /opt/extauthz/bin/pip install --only-binary :all: --no-binary extauthz --constraint constraints.txt .

FROM python:3.13-slim
RUN groupadd --system --gid 65532 extauthz \
    && useradd --system --uid 65532 --gid extauthz --home-dir /var/lib/extauthz --create-home \
        --shell /usr/sbin/nologin extauthz \
    && chmod 0700 /var/lib/extauthz
COPY --from=build /opt/extauthz /opt/extauthz
ENV PATH=/opt/extauthz/bin:$PATH PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /var/lib/extauthz
VOLUME /var/lib/extauthz
EXPOSE 9191 9192 9193
STOPSIGNAL SIGTERM
ENTRYPOINT ["extauthz"]
CMD ["serve", "--config", "/etc/extauthz/extauthz.yaml"]
