SOURCES := $(shell find statspout repositories cmd -name '*.py')

.DEFAULT_GOAL := help
.PHONY: help run test check bench nightly clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/.installed ## install into .venv and run the daemon
	@.venv/bin/python scripts/run.py $(ARGS)

test: ## run all tests against the built wheel; ARGS go to pytest
	@scripts/test $(ARGS)

check: ## lint, format, types, unit tests
	@scripts/check

bench: ## measure what a container-sample costs, a StatsD line and call, and a count in memory, beside other programs; ARGS go to the first
	@scripts/setup-engine
	@scripts/setup-peers
	@scripts/install-wheel
	@.venv-test/bin/python bench/run.py $(ARGS)
	@.venv-test/bin/python bench/statsd.py
	@.venv-test/bin/python bench/client.py
	@.venv-test/bin/python bench/mmstats.py

nightly: ## hundreds of thousands of bad inputs, long faults, and half an hour of soak; ARGS go to pytest
	@scripts/nightly $(ARGS)

clean: ## remove everything that was built or downloaded
	rm -rf .venv .venv-test .work build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache

# What a build leaves would put deleted modules back.
.venv/.installed: pyproject.toml README.md $(SOURCES)
	@scripts/venv .venv
	@echo "installing statspout into .venv" >&2
	@rm -rf build *.egg-info
	@.venv/bin/python -m pip install -qq --no-input --disable-pip-version-check '.[all]'
	@rm -rf build *.egg-info
	@touch $@
