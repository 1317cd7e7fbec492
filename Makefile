# SPDX-License-Identifier: MIT
# The front door: a thin wrapper around Meson. `make` builds build/pellucid.
#   make demo          the whole story on a made image, in a few minutes
#   make test          all tests; the last line is "N passed, N failed"
#   make mutants       small wrong changes that tests must notice, one at a time; MUTANTS=word some of them
#   make sanitize      unit tests with address+undefined and with thread sanitizers
#   make tidy          the blocking clang-tidy checks
#   make fuzz          every parser against libFuzzer, SECONDS each (60), with clang; FUZZ="czi tls" only those; finds are named
#   make bench         the tables of docs/performance.md, side by side with the tools that pellucid replaces;
#                      TABLES="speed quality" only those (names: bench/bench.sh)
#   make soak          the mutants, and a long run of randomised kills and resumes
#   make install       into PREFIX (default /usr/local)
# On Debian 12, demo, test and sanitize install what is missing when run by root.
BUILD  ?= build
PREFIX ?= /usr/local
MINUTES ?= 10
SECONDS ?= 60
# The Python tests that run with the address sanitizer; the others measure memory or numbers, tune for minutes, or start
# the manager, whose Work Queue leaks.
SANITIZED_TESTS := $(addprefix tests/test_,cli.py run.py tiff.py czi_convert.py zarr_readers.py zarr_kinds.py remote.py tls.py \
	remote_write.py select.py dashboard.py jobs.py submit.py quoting.py config.py channels.py pipeline.py phantom_files.py noise_plot.py hostile_images.py \
	audit.py documents.py moved.py places.py notes.py damaged.py)
VENV   := $(BUILD)/venv
PYTHON := $(VENV)/bin/python

.PHONY: all deps test-deps demo test mutants sanitize soak fuzz bench install tidy lint clean

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	meson setup --prefix $(PREFIX) $(BUILD)

# Debian packages of the program and of its tests; says what to type where it may not install itself.
deps:
	@scripts/deps.sh

test-deps:
	@scripts/deps.sh tests

# The Python environment of tests, demo picture and benchmarks; made anew when the list changes.
$(VENV)/.ready: tests/requirements.txt
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@

# Denoisers to compare with, and what draws pictures.
$(VENV)/.bench: $(VENV)/.ready bench/requirements.txt
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	touch $@

# The prerequisites in order: packages, then everything that needs them.
test: test-deps
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory $(VENV)/.ready
	@$(PYTHON) tests/run.py --build $(BUILD) $(TEST_ARGS)

demo: deps
	@$(MAKE) --no-print-directory all
	@scripts/demo.sh $(BUILD)/pellucid $(BUILD)/demo

sanitize: test-deps
	@test -f build-asan/build.ninja || meson setup --buildtype debugoptimized -Db_sanitize=address,undefined -Db_lundef=false build-asan
	ninja -C build-asan
	@test -f build-tsan/build.ninja || meson setup --buildtype debugoptimized -Db_sanitize=thread -Db_lundef=false build-tsan
	ninja -C build-tsan
	@$(MAKE) --no-print-directory $(VENV)/.ready
	@status=0; \
	echo "== address, undefined"; \
	$(PYTHON) tests/run.py --build build-asan --sanitized $(SANITIZED_TESTS) || status=1; \
	echo "== thread"; \
	$(PYTHON) tests/run.py --build build-tsan --unit --sanitized || status=1; \
	exit $$status

lint:
	@python3 tests/lint.py --build $(BUILD)

tidy: all
	@scripts/tidy.sh $(BUILD)

# Small wrong changes, each of which a test must notice; in a copy that is kept for the next time.
mutants: test-deps
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory $(VENV)/.ready
	@CCACHE_NOHASHDIR=1 $(PYTHON) tests/mutants.py --venv $(VENV) --yard build-mutants $(MUTANTS)

# The large memory tests, the mutants, then MINUTES of randomised kills and resumes.
soak: test-deps
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory $(VENV)/.ready
	@$(MAKE) --no-print-directory mutants
	@PELLUCID=$(BUILD)/pellucid PELLUCID_SOAK=1 $(PYTHON) -m pytest -q -p no:cacheprovider tests/test_memory.py
	@PELLUCID=$(BUILD)/pellucid $(PYTHON) tests/soak.py --minutes $(MINUTES)
	@PELLUCID=$(BUILD)/pellucid $(PYTHON) tests/cluster/soak.py --rounds 100
	@PELLUCID=$(BUILD)/pellucid $(PYTHON) tests/cluster/soak.py --rounds 50 --blows 10 --slurm

fuzz:
	@scripts/deps.sh fuzz
	@test -f build-fuzz/build.ninja || CC=clang meson setup -Dfuzz=true --buildtype debugoptimized -Db_sanitize=address,undefined -Db_lundef=false build-fuzz
	@scripts/fuzz.sh build-fuzz $(SECONDS) $(FUZZ)

bench: test-deps
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory $(VENV)/.bench
	@PELLUCID=$(BUILD)/pellucid PYTHON=$(PYTHON) bench/bench.sh $(TABLES)

install: all
	meson configure --prefix $(PREFIX) $(BUILD)
	meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) build-asan build-tsan build-fuzz build-mutants
