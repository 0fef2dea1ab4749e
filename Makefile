PYTHON ?= python3
BIN := .venv/bin
DEMO_ARGS ?=
TEST_ARGS ?=
BENCH_ARGS ?=

# The version is that of tests/spire/running.py.
SPIRE := v1.13.3
SPIRE_BIN ?= $(HOME)/.cache/extauthz/spire-$(SPIRE)

# The version is that of tests/jaeger/running.py.
JAEGER := v1.76.0
JAEGER_BIN ?= $(HOME)/.cache/extauthz/jaeger-$(JAEGER)

.PHONY: install demo test test-long screenshots fuzz kills spire jaeger mesh-tools manifests mesh-schemas istioctl envoy-gateway lint format proto diagram schema reference docs docs-serve lock image-lock image-steps audit bench soak clean

install: .venv/installed
	@$(BIN)/python hatch_build.py

# Two at once would write into one environment. So the second one waits, looks once more, and finds it installed.
ifdef INSTALLING
.venv/installed: pyproject.toml requirements.lock
	@echo "installing what requirements.lock names into .venv, Envoy among it: that takes a minute or two"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@
else
.venv/installed: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "extauthz needs Python 3.11 or newer: make PYTHON=python3.13 …")'
	@$(PYTHON) .ci/alone.py $(MAKE) --no-print-directory INSTALLING=1 $@
endif

demo: install
	$(BIN)/extauthz quickstart $(DEMO_ARGS)

# Many tests wait for servers, so there are twice as many workers as processors. They take files in the order that
# tests/conftest.py gives them. Where the environment forbids bytecode, each server that a test starts would be compiled
# anew, and so would the tests.
PROCESSORS := $(shell getconf _NPROCESSORS_ONLN)
WORKERS ?= $(shell expr 2 \* $(PROCESSORS))
test: export PYTHONDONTWRITEBYTECODE :=
test: install tests/__pycache__
	$(BIN)/pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder -m "not long" $(TEST_ARGS)

# Those of which `make test` has a short form. `make test TEST_ARGS="-m ''"` runs both.
test-long: export PYTHONDONTWRITEBYTECODE :=
test-long: install tests/__pycache__
	$(BIN)/pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder -m long $(TEST_ARGS)

# In a new checkout, all are compiled once. Otherwise each worker would compile all of them at the same time.
tests/__pycache__: | install
	@echo "compiling the tests, which is done once: that takes a minute or two"
	-@ls -d tests/*/ | xargs -n 16 -P $(PROCESSORS) $(BIN)/pytest --collect-only -qq > /dev/null

# A picture of each page in light, in dark and on a small phone, written to the folder SCREENSHOTS by the tests that
# open a browser; these hold every page that they take a picture of to what people can read.
SCREENSHOTS ?= build/screenshots
screenshots: install
	SCREENSHOTS=$(abspath $(SCREENSHOTS)) $(BIN)/pytest --numprocesses=auto --dist=loadfile \
	    $$(grep -l playwright tests/*/test_*.py) $(TEST_ARGS)

# The properties of tests/fuzz with new examples, as many of each as FUZZ_EXAMPLES says: some 20 minutes.
FUZZ_EXAMPLES ?= 20000
fuzz: install
	FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/pytest tests/fuzz --timeout=0 $(TEST_ARGS)

# Processes that write approvals, whole servers, whom they tell, and Redis servers are killed at random moments, so many
# for each store: some twenty minutes.
KILLS ?= 200
kills: install
	KILLS=$(KILLS) $(BIN)/pytest tests/store/test_kills.py tests/e2e_approvals/test_dying_servers.py $(TEST_ARGS)

# SPIRE's server and agent for tests/spire, from the Go module with the versions that it was released with. It takes
# Go, and many minutes; without them those tests are skipped.
spire:
	cd "$$(go mod download -json github.com/spiffe/spire@$(SPIRE) | $(PYTHON) -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')" \
	    && go build -mod=readonly -trimpath -ldflags="-s -w" -o "$(SPIRE_BIN)/" ./cmd/spire-server ./cmd/spire-agent

# Jaeger for tests/jaeger, likewise, without its user interface.
jaeger:
	cd "$$(go mod download -json github.com/jaegertracing/jaeger@$(JAEGER) | $(PYTHON) -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')" \
	    && go build -mod=readonly -trimpath -ldflags="-s -w" -o "$(JAEGER_BIN)/" ./cmd/all-in-one

# Helm, and what holds manifests to the schemas of Kubernetes that it brings along, for tests/deploy and `make manifests`.
# The versions are those of deploy/render.py and tests/deploy/tools.py. The operator's are the schemas of a ServiceMonitor and
# of a PrometheusRule; compose-go is what Docker Compose reads its files with. kubeconform gets Kubernetes' schemas from a package.
HELM := v3.22.0
KUBECTL_VALIDATE := v0.0.4
PROMETHEUS_OPERATOR := v0.85.0
COMPOSE_GO := v2.16.2
KUBECONFORM := v0.7.0
KUBERNETES_VALIDATE := 1.37.0
MESH_TOOLS ?= $(HOME)/.cache/extauthz
mesh-tools:
	cd "$$(go mod download -json helm.sh/helm/v3@$(HELM) | $(PYTHON) -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')" \
	    && go build -mod=readonly -trimpath -o "$(MESH_TOOLS)/helm-$(HELM)/" \
	        -ldflags="-s -w -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=37" ./cmd/helm
	cd "$$(go mod download -json sigs.k8s.io/kubectl-validate@$(KUBECTL_VALIDATE) | $(PYTHON) -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')" \
	    && go build -mod=readonly -trimpath -ldflags="-s -w" -o "$(MESH_TOOLS)/kubectl-validate-$(KUBECTL_VALIDATE)/" .
	cd "$$(go mod download -json github.com/prometheus-operator/prometheus-operator@$(PROMETHEUS_OPERATOR) | $(PYTHON) -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')" \
	    && install -D -m 0644 -t "$(MESH_TOOLS)/prometheus-operator-$(PROMETHEUS_OPERATOR)/" example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml
	cd "$$(go mod download -json github.com/compose-spec/compose-go/v2@$(COMPOSE_GO) | $(PYTHON) -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')" \
	    && go build -mod=readonly -trimpath -ldflags="-s -w" -o "$(MESH_TOOLS)/compose-go-$(COMPOSE_GO)/compose-go" ./cmd
	cd "$$(go mod download -json github.com/yannh/kubeconform@$(KUBECONFORM) | $(PYTHON) -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')" \
	    && go build -mod=readonly -trimpath -ldflags="-s -w" -o "$(MESH_TOOLS)/kubeconform-$(KUBECONFORM)/" ./cmd/kubeconform
	$(PYTHON) -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$(MESH_TOOLS)/kubeconform-$(KUBECONFORM)" \
	    kubernetes-validate==$(KUBERNETES_VALIDATE)
	$(PYTHON) tests/deploy/kubernetes_schemas.py "$(MESH_TOOLS)/kubeconform-$(KUBECONFORM)/kubernetes_validate-$(KUBERNETES_VALIDATE)-py3-none-any.whl" \
	    "$(MESH_TOOLS)/kubeconform-$(KUBECONFORM)"

# The manifests of deploy/kubernetes and the table of the chart's values, which are committed; tests hold them to the chart.
manifests: install
	$(BIN)/python deploy/render.py

# The schemas that tests/mesh holds envoy/istio and envoy/gateway-api against, from the Go modules of the projects. The
# versions are those of tests/mesh/schemas.py.
ISTIO_API := v1.31.1
ENVOY_GATEWAY := v1.9.1
GATEWAY_API := v1.6.3
MESH_SCHEMAS ?= $(HOME)/.cache/extauthz/mesh-schemas
module_folder = go mod download -json $(1) | $(PYTHON) -c 'import json, sys; print(json.load(sys.stdin)["Dir"])'
mesh-schemas:
	set -e; \
	istio="$$($(call module_folder,istio.io/api@$(ISTIO_API)))"; into="$(MESH_SCHEMAS)/istio.io-api@$(ISTIO_API)"; \
	    mkdir -p "$$into"; cp -R "$$istio/kubernetes" "$$istio/mesh" "$$istio/networking" "$$istio/type" "$$istio/common-protos" "$$into/"; \
	envoy="$$($(call module_folder,github.com/envoyproxy/gateway@$(ENVOY_GATEWAY)))"; into="$(MESH_SCHEMAS)/github.com-envoyproxy-gateway@$(ENVOY_GATEWAY)"; \
	    mkdir -p "$$into"; cp -R "$$envoy/charts/gateway-helm/charts/crds/crds/generated" "$$into/"; \
	routes="$$($(call module_folder,sigs.k8s.io/gateway-api@$(GATEWAY_API)))"; into="$(MESH_SCHEMAS)/sigs.k8s.io-gateway-api@$(GATEWAY_API)"; \
	    mkdir -p "$$into"; cp -R "$$routes/config/crd/standard" "$$into/"; \
	chmod -R u+w "$(MESH_SCHEMAS)"

# Istio's own programs for tests/mesh: istioctl, and what has its control plane translate resources (tests/mesh/istio). They
# take Go, and half an hour; without them those tests are skipped. The version is that of tests/mesh/translating.py.
ISTIO := 1.31-20260827
ISTIO_BIN ?= $(HOME)/.cache/extauthz/istio-$(ISTIO)
istioctl:
	cd tests/mesh/istio && go build -mod=readonly -trimpath -ldflags="-s -w" -o "$(ISTIO_BIN)/istioctl" istio.io/istio/istioctl/cmd/istioctl
	cd tests/mesh/istio && go build -mod=readonly -trimpath -ldflags="-s -w" -o "$(ISTIO_BIN)/translate" .

# Envoy Gateway's own translator for tests/mesh, likewise, of the version of its schemas.
ENVOY_GATEWAY_BIN ?= $(HOME)/.cache/extauthz/envoy-gateway-$(ENVOY_GATEWAY)
envoy-gateway:
	cd tests/mesh/envoy-gateway && go build -mod=readonly -trimpath -ldflags="-s -w" -o "$(ENVOY_GATEWAY_BIN)/translate" .

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests bench
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# BENCH_ARGS=--help tells what there is.
bench: export PYTHONDONTWRITEBYTECODE :=
bench: install
	$(BIN)/python -m bench $(BENCH_ARGS)

# Everything at once, with faults, for so many minutes: docs/soak.md.
SOAK_MINUTES ?= 60
SOAK_ARGS ?=
soak: export PYTHONDONTWRITEBYTECODE :=
soak: install
	$(BIN)/python -m bench.soak --check --minutes $(SOAK_MINUTES) $(SOAK_ARGS)

# The generated code is committed; a test holds it against proto/.
proto: install
	$(BIN)/python proto/generate.py

# So is the diagram in docs/approvals-lifecycle.md; a test holds it against the code.
diagram: install
	$(BIN)/python docs/diagram.py

# And the schema of the audit's lines; a test holds it against the types.
schema: install
	$(BIN)/extauthz audit schema > docs/audit-schema.json

# And the pages of docs/reference that tell every key, field, function and call.
reference: install
	$(BIN)/python docs/reference/generate.py

# The site of the documentation, into build/site, where it can be read without a server; mkdocs.yml says what it is made
# of. Diagrams are drawn by a script from npm, which only the first build fetches.
docs: export NO_MKDOCS_2_WARNING := 1
docs: install docs/site/node_modules/.package-lock.json
	$(BIN)/mkdocs build --strict

docs-serve: export NO_MKDOCS_2_WARNING := 1
docs-serve: install docs/site/node_modules/.package-lock.json
	$(BIN)/mkdocs serve

docs/site/node_modules/.package-lock.json: docs/site/package-lock.json
	cd docs/site && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

# Envoy's configuration in envoy/, by the command that writes it; a test holds it.
.PHONY: envoy
envoy: export EXTAUTHZ_CONFIG :=
envoy: install
	for kind in gateway sidecar workers approvals; do \
	    $(BIN)/extauthz envoy config $$kind > envoy/$$kind.yaml || exit 1; \
	done

# What is told of the commands, all from the commands: docs/cli.md, the manual page and the table of shell completion;
# a test holds them.
cli-docs: install
	$(BIN)/python docs/commands.py

lock: install
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra demo --extra parquet --extra pyvoy --extra spiffe --group dev --group bench --group docs --generate-hashes \
	    --no-emit-index-url --no-header --upgrade pyproject.toml --output-file requirements.lock

# What the Dockerfile installs: of requirements.lock what the server needs, in the same versions; and what builds it.
IMAGE_LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-emit-index-url --no-header --no-strip-extras
image-lock: install
	$(IMAGE_LOCK) --constraint requirements.lock deploy/docker/build.in --output-file deploy/docker/build.lock
	$(IMAGE_LOCK) --extra spiffe --constraint requirements.lock pyproject.toml --output-file deploy/docker/grpcio.lock
	$(IMAGE_LOCK) --extra spiffe --extra pyvoy --constraint requirements.lock pyproject.toml --output-file deploy/docker/pyvoy.lock

# The steps of the Dockerfile in folders, with all packages from the index, as root: some minutes. `make test-long` does so, too,
# but with the packages of the tests.
image-steps: install
	IMAGE_STEPS=1 $(BIN)/pytest tests/deploy/test_dockerfile.py --timeout=0 $(TEST_ARGS)

# Known vulnerabilities of what requirements.lock names. Not a part of the tests: it needs the package index, and fails
# when somebody publishes an advisory.
audit: install
	$(BIN)/python .ci/audit.py

clean:
	find extauthz -name '*.so' -delete
	rm -rf extauthz__mypyc.* .extauthz__mypyc.* extauthz/_compiled.txt .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/oidc/node_modules docs/site/node_modules
