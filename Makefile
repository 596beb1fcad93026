# make demo   set up .venv and run the whole path once        make test   the tests (default run)
# make check  lint and types                                   make slow   the slow tests
# make docs   the documentation as a site, in docs-output
# make sbom   the wheel, and what it is made of, in dist/
# make bench  ResNet-18 and CenterNet on both CPU runtimes, on made data or, with EDGEKIT_DATA, on real
# make arm64  an emulated ARM processor beside this one, answer by answer (needs qemu-user-static, and Debian's apt)

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# what Python compiled is kept, also where the environment says otherwise: every process would compile it again
export PYTHONDONTWRITEBYTECODE =
# the files that have tests to run alone: to collect all the others takes as long as these
ALONE  = $(if $(PYTEST),$(PYTEST),$(shell grep -rl --include='*.py' 'mark\.alone' tests))

.PHONY: demo test slow check docs bench arm64 sbom setup clean

demo: $(READY)
	$(BIN)/edgekit demo --out demo-output

# three processes, a file of tests in one of them: on two CPUs the third works while another's test waits for a server, a
# clock or a process. Then alone those that time things or load the machine. torch's and OpenBLAS's threads would only
# wait for each other: a process has one
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile -m "not slow and not alone" $(PYTEST)
	$(BIN)/python -m pytest -m "alone and not slow" $(ALONE)

slow: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "slow and not alone" $(PYTEST)
	$(BIN)/python -m pytest -m "slow and alone" $(ALONE)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/python -m docs.site.build --out docs-output

bench: $(READY)
	$(BIN)/python benchmarks/standard.py --out bench-output $(BENCH)

sbom: $(READY)
	$(BIN)/python -m build
	PYTHON=$(BIN)/python .ci/sbom dist/edgekit-$(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' edgekit/version.py)-py3-none-any.whl

arm64: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/arm64/run.py --out arm64-output $(ARM64)

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "The development environment needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check -c constraints.txt -e '.[cpu,camera,train,dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) build dist *.egg-info demo-output bench-output arm64-output docs-output docs-output.work
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
