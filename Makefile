# make run · make setup · make test, test-slow, test-slurm, check · make chaos, fuzz, mutants · make networks,
# parity · make lock, audit · make clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Many tests wait for processes: two more workers than cores, at most 6.
WORKERS := $(shell $(PYTHON) -c 'import os; print(min(6, len(os.sched_getaffinity(0)) + 2))' 2>/dev/null || echo 2)

# Files with slow tests: collecting all others would take longer than some of these tests.
SLOW = $(shell grep -rl 'mark\.slow' tests --include='test_*.py' --exclude-dir=slurm)
# Sources are compiled once, not by each of hundreds of processes, even if the shell sets this.
export PYTHONDONTWRITEBYTECODE :=
# Names of files are UTF-8, whatever the locale.
export PYTHONUTF8 := 1

.PHONY: run test test-slow test-slurm chaos fuzz mutants networks parity check lock audit setup clean

run: $(VENV)/.installed
	$(BIN)/vld demo

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

test-slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m 'slow and not slurm' $(SLOW)

# Two at a time, each on a cluster of its own, for which they mostly wait. The longest tests are not
# run here: pytest -m 'slurm and slow' tests/slurm.
test-slurm: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'slurm and not slow' tests/slurm

chaos: $(VENV)/.installed-test
	$(BIN)/python -m tests.chaos

check: $(VENV)/.installed-check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	MYPY_NUM_WORKERS=2 $(BIN)/mypy
	$(BIN)/lint-imports

fuzz: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	$(BIN)/python -m tests.hostile.fuzz

# Shows which plausible bugs the tests find (docs/mutants.md). To rewrite that page: make mutants WRITE=--write.
mutants: $(VENV)/.installed-test
	@$(BIN)/python -m tests.mutants $(WRITE)

# Prints which of timm's networks can be fine-tuned, in about half an hour.
networks: $(VENV)/.installed
	@$(BIN)/python benchmarks/networks.py

# Compares this program with the code of DomainBed and of the paper's authors, in a few minutes. To rewrite
# docs/parity.md: make parity WRITE=--write.
parity: $(VENV)/.installed
	@$(BIN)/python -m benchmarks.parity $(WRITE)

# Records the versions that checks and tests ran with; nothing is installed from it. Suffixes of builds,
# such as torch's +cpu, name no release and are removed.
lock: $(VENV)/.installed-test $(VENV)/.installed-check
	@{ echo "# What the tests of this revision ran with on Linux, x86-64, Python 3.11: make lock"; \
	  $(BIN)/python -m pip freeze --exclude-editable | sed 's/+[^ ]*$$//'; } > requirements.lock

# Needs the network. Strict: a package that cannot be looked up fails too.
audit: $(VENV)/.installed-audit
	@$(BIN)/pip-audit --strict --no-deps --disable-pip --progress-spinner off --timeout 30 \
	  --requirement requirements.lock || \
	  { echo "AUDIT FAILED: see above. If the service was not reached, NOTHING was checked." >&2; exit 1; }

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.x")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

$(VENV)/.installed-check: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,check]'
	@touch $@ $(VENV)/.installed-test

$(VENV)/.installed-audit: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[audit]'
	@touch $@

clean:
	rm -rf $(VENV)
