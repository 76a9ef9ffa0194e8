# Thin on purpose: CMakePresets.json says how to build, tests/run how to test.
# Everything installs what it needs on a plain Debian 12.
.PHONY: build run test demo bench format lint fuzz deps clean help
.DEFAULT_GOAL := build

CONFIG ?=

build: deps ## build build/breakwater
	cmake --preset release -Wno-dev >/dev/null
	cmake --build --preset release

run: build ## build it and serve (CONFIG=file.yaml for a configuration of yours)
	exec build/breakwater serve $(if $(CONFIG),--config $(CONFIG))

test: ## every test (SUITES="lint unit http" for some of them)
	tests/run $(SUITES)

demo: build ## watch an upstream's outage being survived, without a network
	packaging/install-packages demo
	demo/run

bench: build ## measure against docker-registry, distribution and nginx
	packaging/install-packages bench
	benchmarks/install-peers
	benchmarks/run

format: ## put every C file into the project's format
	git ls-files '*.c' '*.h' | xargs clang-format -i

lint: ## format, folder rules, complexity, shell scripts
	tests/run lint

fuzz: ## fuzz every parser, an hour each (SECONDS_EACH=60 for a minute)
	tests/run --fuzz-seconds $(or $(SECONDS_EACH),3600) fuzz

deps: # what the build needs, from Debian
	packaging/install-packages build
	packaging/fetch-civetweb build/deps/civetweb

clean: ## remove what was built (not the sources that were fetched for it)
	find build -mindepth 1 -maxdepth 1 ! -name deps -exec rm -rf {} +

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16
