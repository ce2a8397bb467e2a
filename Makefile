# make all     the default study: from synthetic archives to reports/
# make test    the test suite
# make install installs into .venv, which is all that fer predict, export and demo need
# make pull    fetches the artifacts of this commit from the DVC remote; WHAT=report: of one stage
# make check   says whether both engines are up to date
# make verify  hashes every artifact; damaged ones are restored from DVC's cache
# make lint    formatting, lints, generated files, documentation
# make docs    the documentation, as pages in site/
# make bench   the benchmarks of benchmarks/README.md
# make lock    new versions of everything, within pyproject.toml

PYTHON ?= $(shell command -v python3.11 || command -v python3)
CORES ?= 8
STUDY ?= params/study.yaml

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true

# A user without a name or a home, as in `docker run --user 12345`: both engines ask for them.
export USER ?= uid-$(shell id -u)
ifneq ($(shell test -w "$(HOME)" && echo writable),writable)
export HOME := $(CURDIR)/.fer/home
endif

# Commands in .venv call the Python of the place where they were installed: a moved or copied checkout installs its own.
$(shell cd "$(CURDIR)" && [ -s .venv/installed ] && [ "$$(cat .venv/installed)" != "$(CURDIR)" ] && rm -f .venv/installed)

.PHONY: all test install pull check verify lint docs bench lock
.DEFAULT_GOAL := all

all: .venv/installed
	snakemake --cores $(CORES) all --config study=$(STUDY)
# Where a run before was stopped while it recorded, this one records. What is then not up to date fails.
	@python workflow/scripts/engines.py check --study $(STUDY) >/dev/null || { \
		python workflow/scripts/engines.py record --study $(STUDY); \
		python workflow/scripts/engines.py check --study $(STUDY); }

# One thread of torch and NumPy for each of the two workers: four that wait for one another on two cores cost several times as
# much. OMP_NUM_THREADS would take the stages' worker processes (fer/parallel.py), too.
# In the files' own order: largest first would leave the few long tests of the engines to the end.
test: .venv/installed
	MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 pytest -n 2 --dist loadfile --no-loadscope-reorder

install: .venv/installed

pull: .venv/installed
	python workflow/scripts/engines.py pull --study $(STUDY) $(if $(WHAT),--what $(WHAT))

check: .venv/installed
	python workflow/scripts/engines.py check --study $(STUDY)

verify: .venv/installed
	python workflow/scripts/engines.py verify --study $(STUDY)

lint: docs
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow/rules
	pytest tests/test_generated.py

docs: .venv/installed
	mkdocs build --quiet --strict

bench: .venv/installed
	python benchmarks/training.py
	python benchmarks/acquire.py
	python benchmarks/align.py
	python benchmarks/scale.py
	python benchmarks/engines.py

lock: .venv/installed
	pip install --quiet uv
	uv pip compile pyproject.toml --extra engines --extra export --extra docs --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-annotate --upgrade -o requirements.lock

# Exact versions, checked by hash. The mark is made last, so an interrupted installation is done again.
.venv/installed: requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || \
		{ echo "Python 3.11 is needed (make PYTHON=/path/to/python3.11)"; exit 1; }
	@echo "Installing into .venv (once; about 6 GB and two to five minutes)"
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --quiet --require-hashes -r requirements.lock
	.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	printf '\n# fer: the engines send nothing home\nexport MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true\n' >> .venv/bin/activate
	@echo "$(CURDIR)" > $@
