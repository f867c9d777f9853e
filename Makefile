# Nothing here needs an activated environment: every target makes what it stands on.
PYTHON ?= python3
# Tests wait more than they compute: twice as many at a time as CI has cores.
PYTEST_ARGS ?= -n 4 --dist worksteal
export PYTHON
.NOTPARALLEL:

BIN := .venv/bin
RUFF := $(BIN)/python -m ruff
MYPY := $(BIN)/python -m mypy
# Not by their scripts: those name the directory in which the environment was made, and it may have moved.
FLOORS := $(BIN)/python -c 'from importlinter.cli import lint_imports_command; lint_imports_command()' --no-logo
VERMIN := $(BIN)/python -c 'from vermin import main; main()'

.PHONY: help
help: ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10
	@echo 'PYTHON=/path/to/python3 picks the interpreter; PYTEST_ARGS="-k words" picks tests.'

.PHONY: venv dev system
venv:
	@.ci/venv

dev:
	@.ci/venv dev

system:
	@.ci/system tests

.PHONY: run
run: venv ## Run the demo on this machine and show where its outputs are
	@$(BIN)/sshjobs run jobfiles/demo.yaml --results results </dev/null
	@echo
	@echo "Every job's output is on your disk:"
	@for f in "$$(ls -td results/demo-* | head -n 1)"/jobs/*/stdout; do echo "  $$f"; done

.PHONY: test
test: system lint ## Check everything and run every test; what fails beside others is tried once more, alone
	@$(BIN)/python -m pytest $(PYTEST_ARGS) || { [ $$? = 1 ] || exit; echo "Failed beside others; once more, one at a time:"; \
	    $(BIN)/python -m pytest --last-failed --last-failed-no-failures none --maxfail 1; }

.PHONY: lint
lint: dev ## Check style, types, floors and the far side's Python 3.6
	$(RUFF) check .
	$(MYPY)
	$(FLOORS)
	$(VERMIN) --quiet --no-tips --violations -t=3.6- sshjobs/gjob

.PHONY: faults
faults: system dev ## Kill, cut, reboot and fill for an hour or so, as root, and write docs/reliability.md
	$(BIN)/python -m tests.faults.report

.PHONY: errnos
errnos: dev ## Have each call of the system on this side fail, half an hour or so, in parts if need be
	$(BIN)/python -m tests.trouble.report
	$(BIN)/python -m tests.faults.report --page

.PHONY: scarce
scarce: dev ## Let every system call of the far side fail once with each error, an hour at most; goes on where it stopped
	$(BIN)/python -m tests.faults.scarce --record build/scarce.jsonl --figures tests/faults/scarce.jsonl
	$(BIN)/python -m tests.faults.report --page

.PHONY: bench
bench: system dev ## Measure sshjobs beside its peers for half an hour or so, as root, and write docs/performance.md
	@.ci/system bench
	@.ci/peers
	$(BIN)/python -m tests.benchmarks.report

.PHONY: simulate
simulate: dev ## Play 100,000 disasters in a simulated world, and hunt the mutants
	PYTHONHASHSEED=0 $(BIN)/python -m tests.sim.campaign --disasters 100000 --jobs 2
	PYTHONHASHSEED=0 $(BIN)/python -m tests.sim.mutants

.PHONY: allocations
allocations: dev ## Play 1,000,000 histories of hosts and jobs with needs, for an hour or so, against a count by hand
	$(BIN)/python -m tests.core.allocations --histories 1000000 --jobs 2

.PHONY: mutants
mutants: system dev ## Put 500 small faults into the code, one at a time, for hours, and tell which no test notices
	$(BIN)/python -m tests.mutation --mutants 500 --seed 1

.PHONY: web
web: system dev ## Measure the pages: a run of a million jobs, fifty browsers, a change a second for half an hour
	$(BIN)/python -m tests.web.scale
	$(BIN)/python -m tests.web.load
	$(BIN)/python -m tests.web.test_tab clock

.PHONY: api
api: dev ## Write down the public API as it is now (tests/house/public_api.txt)
	$(BIN)/python -m tests.house.public_api > tests/house/public_api.new
	mv tests/house/public_api.new tests/house/public_api.txt

.PHONY: docs
docs: dev ## Build the documentation into docs/_build
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

.PHONY: clean
clean: ## Remove what was made here; results stay
	rm -rf .venv build dist docs/_build *.egg-info .pytest_cache .mypy_cache .ruff_cache \
	    .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
