# Every habit of the project, one target each; CI calls only these.
PYTHON ?= python3
PORT ?= 8080
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# uv trusts what the machine trusts, as pip does: a company's proxy has a certificate of its own.
export UV_SYSTEM_CERTS := true
# What is compiled lies apart from the tree, so it may be kept, whatever the caller's shell says.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.local/cache/python
unexport PYTHONDONTWRITEBYTECODE
LOCAL := .venv/bin/python -m loader.local
# pip says why an install fails, and else nothing: how it builds a package of others is not for us.
INSTALL := .venv/bin/python -W ignore:DEPRECATION -m pip install -q --disable-pip-version-check --no-deps

.DEFAULT_GOAL := help
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\#.*/\1/p' Makefile)

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## */\t/' | expand -t 17

# sample
demo: .venv/installed  ## from an empty folder to a checked NPS summary
	@$(LOCAL) demo

own: .venv/installed  ## take the sample out, of the local warehouse too
	@$(LOCAL) own
# end of sample

up: .venv/installed  ## start the embedded MySQL, PostgreSQL and S3
	@$(LOCAL) up

# sample
play: .venv/installed  ## let one more day happen in the sample
	@$(LOCAL) play
# end of sample

down:  ## stop the embedded services, and only those
	@[ ! -x .venv/bin/python ] || $(LOCAL) down

test: .venv/installed-dev  ## run the tests on PostgreSQL, and Redshift's own on its stand-in
	@.venv/bin/python -m pytest

# sample
test-everywhere: .venv/installed-dev  ## run every test on both warehouses
	@.venv/bin/python -m pytest --everywhere

test-rest: .venv/installed-dev  ## run what takes longer: deep tests, and the others on the stand-in, too
	@.venv/bin/python -m pytest --rest

test-mysql: .venv/installed-dev  ## run the tests of `make test` on Oracle's MySQL (LOADER_TEST_MYSQLD)
	@.venv/bin/python -m pytest --mysql
# end of sample

dist: .venv/installed-dev  ## build the wheel, and try it in an empty environment
	@rm -rf .local/dist .local/empty
	@.venv/bin/python -m hatchling build -t wheel -d .local/dist
	@.venv/bin/uv venv -q --python .venv/bin/python .local/empty
	@.venv/bin/uv pip install -q --python .local/empty/bin/python -c requirements.txt .local/dist/*.whl
	@cd / && env -i $(CURDIR)/.local/empty/bin/loader --help >/dev/null \
	    && env -i $(CURDIR)/.local/empty/bin/loader --version

# sample
# Airflow has an environment of its own: its pins and dbt's exclude each other.
test-airflow: export PYTHONPATH := $(CURDIR)/tests/python
test-airflow: .local/airflow/installed  ## run the DAG of the docs in Airflow, and compare with loader run
	@.venv/bin/python tests/airflow/check_dag.py

soak: export SOAK_RUNS ?= 100
soak: export SOAK_STEPS ?= 25
soak: .venv/installed-dev  ## drive the pipeline at random, SOAK_RUNS times on each warehouse
	@.venv/bin/python -m pytest --everywhere --timeout 0 -rP tests/python/test_machine.py

bench: .venv/installed-dev  ## measure the loader beside the raw pipe, pandas and other tools
	@.venv/bin/python -u -m bench --json .local/bench/record.json

smoke-redshift: .venv/installed-dev  ## try every step on your own Redshift, and drop it all again
	@PYTHONPATH=tests/python .venv/bin/python -m smoke
# end of sample

lint site docs: export DBT_TARGET := local
lint site docs: export DBT_PROFILES_DIR := $(CURDIR)

lint: .venv/installed-dev  ## ruff, mypy, sqlfluff, and what Redshift would refuse
# sample
	@.venv/bin/python tests/python/bounds.py  # how large it is
# end of sample
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@$(LOCAL) up
	@.venv/bin/sqlfluff lint --processes 1 $(wildcard models tests snapshots)
	@PYTHONPATH=tests/python .venv/bin/python -m standin.lint

audit: .venv/installed-dev  ## look every pinned package up among the known vulnerabilities (on the internet)
	@.venv/bin/uv tool run -q pip-audit==2.10.1 --strict --disable-pip -r requirements-dev.txt

site: .venv/installed  ## write the docs site and the report beside it, a file each, in target/
	@$(LOCAL) up
	@.venv/bin/dbt docs generate --static
	@.venv/bin/loader report --output target/report.html
	@echo "The documentation: target/static_index.html"

docs: site  ## write them and serve them
	@.venv/bin/dbt docs serve --port $(PORT) || { echo "Is port $(PORT) taken? PORT=8081 make docs"; exit 1; }

clean:  ## stop the services and leave nothing behind
	@[ ! -x .venv/bin/python ] || $(LOCAL) clean
	@rm -rf .venv .local .hypothesis
	@find $(wildcard loader report bench tests) -name __pycache__ -prune -exec rm -rf {} +

lock: .venv/installed-dev  ## write requirements*.txt from pyproject.toml
	@for set in "--all-extras -o requirements-dev.txt" \
	    "--extra local -c requirements-dev.txt -o requirements.txt"; do \
	    .venv/bin/uv pip compile -q pyproject.toml --universal --python-version 3.11 \
	        --generate-hashes --no-annotate --no-header --no-emit-index-url --upgrade $$set; \
	done

# sample
.local/airflow/installed: Makefile .venv/installed-dev
	@$(PYTHON) -m venv .local/airflow
	@.venv/bin/uv pip install -q --python .local/airflow/bin/python \
	    apache-airflow-core==3.3.2 apache-airflow-providers-standard==1.21.0
	@touch $@
# end of sample

.venv/installed: requirements.txt pyproject.toml
	$(call install,requirements.txt)
	@touch $@

.venv/installed-dev: requirements-dev.txt pyproject.toml
	$(call install,requirements-dev.txt)
	@touch .venv/installed $@

define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed, and $(PYTHON) is older: PYTHON=python3.12 make ..."; exit 1; }
	@echo "Installing $(1) into .venv (a minute or two, once)"
	@[ -x .venv/bin/python ] || $(PYTHON) -m venv .venv
	@$(INSTALL) --require-hashes -r $(1) || \
	    { echo "pip says above why. Without the internet, PIP_INDEX_URL names an index of yours."; exit 1; }
	@$(INSTALL) --no-build-isolation -e .
endef
