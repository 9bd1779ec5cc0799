# `make reproduce` and `make test` do everything from a fresh clone; each creates .venv first if it is missing.
SHELL := /bin/bash
PY := .venv/bin/python
STUDY ?= config/default.yaml
WORKERS ?= 2

# Snakemake keeps a cache below HOME. Where that cannot be written, it lies beside Snakemake's other state.
ifndef XDG_CACHE_HOME
ifneq ($(shell mkdir -p "$$HOME/.cache" 2> /dev/null && test -w "$$HOME/.cache" && echo yes),yes)
export XDG_CACHE_HOME := $(CURDIR)/.snakemake/cache
endif
endif

.PHONY: reproduce test lint docs pages lock peers peer-packages bench vllm validators accept gpu-wheels gpu-sources gpu-desk clean

reproduce: .venv/.complete
	@ASYMGRPO_PROGRESS=1 .venv/bin/snakemake all probe report
	@$(PY) -m workflow.finish results

test: .venv/.complete .venv-validators/.complete
	@$(PY) tests/announce.py
	@$(MAKE) --no-print-directory lint
	$(PY) tests/side_by_side.py --workers $(WORKERS)

lint: .venv/.complete
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/snakefmt --check Snakefile workflow
	.venv/bin/mypy
	$(PY) -m workflow.lint

# What is made from the code and committed: docs/keys.md and config/schema.json, docs/commands.md, docs/metrics.md, tables of docs/method.md.
docs: .venv/.complete
	$(PY) -m asymgrpo.study --write
	$(PY) -m asymgrpo --markdown > docs/commands.md
	$(PY) tests/method/doc_tables.py
	$(PY) -m asymgrpo.training.metrics > docs/metrics.md

# The pages that are written from the committed bundles: docs/results.md, docs/standard.md and docs/pretrained.md, with their pictures.
REBUILT ?= results-pages
PAGES ?= docs
SETTINGS := $(foreach name,base2 lcm lcm2 rate2,$(name)=artifacts/settings/$(name).zip)
comma := ,
space := $() $()
pages:
	$(PY) -m snakemake $(FLAGS) tables figures standard --config artifacts=artifacts/study.zip results=$(REBUILT)/study
	$(PY) -m snakemake $(FLAGS) pool --config results=$(REBUILT)/settings 'bundles=[study=artifacts/study.zip,$(subst $(space),$(comma),$(SETTINGS))]' \
	  'differ=[models.tiny.spec,data.train,evaluation.benchmarks,train.learning_rate]'
	$(PY) -m snakemake $(FLAGS) tables figures --config artifacts=artifacts/smollm2.zip results=$(REBUILT)/smollm2
	$(PY) -m evals.report.results_page --results $(REBUILT)/study --out $(PAGES)/results.md --images $(PAGES)/images/study \
	  --pool $(REBUILT)/settings --earlier artifacts/exploratory.parquet artifacts/first_declared.parquet \
	  --apart artifacts/held_out.parquet
	cp $(REBUILT)/study/standard.md $(PAGES)/standard.md
	$(PY) -m evals.report.pretrained_page --results $(REBUILT)/smollm2 --out $(PAGES)/pretrained.md --images $(PAGES)/images/smollm2

# torch first and with its own dependencies: they differ between its CPU and its CUDA wheel, the rest does not.
# Last, the command `asymgrpo`, by the setuptools of the lock; the checkout stays what is imported.
# A CPU wheel saves gigabytes: set PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS to where you keep one.
.venv/.complete: requirements/cpu.lock pyproject.toml
	@command -v python3.11 > /dev/null || command -v python3 > /dev/null || { echo "Python 3.11 or newer is needed"; exit 1; }
	[ -d .venv ] || $$(command -v python3.11 || command -v python3) -m venv .venv
	.venv/bin/pip install --quiet --quiet --upgrade pip
	.venv/bin/pip install --quiet --quiet "$$(grep '^torch==' requirements/cpu.lock)"
	.venv/bin/pip install --quiet --quiet --no-deps --requirement requirements/cpu.lock
	.venv/bin/pip install --quiet --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Optional: rollouts by vLLM. Its lock holds only what it adds to cpu.lock; torchvision and its like, which it names and does not
# need, stay out: beside this torch they break its import.
vllm: .venv/.vllm

.venv/.vllm: .venv/.complete requirements/vllm.lock
	.venv/bin/pip install --quiet --quiet --no-deps --requirement requirements/vllm.lock
	touch $@

# What the tests of a published folder read it with, beside .venv and on top of it (requirements/validators.in).
validators: .venv-validators/.complete

.venv-validators/.complete: .venv/.complete requirements/validators.lock
	rm -rf .venv-validators
	.venv/bin/uv pip install --quiet --no-deps --target .venv-validators --requirement requirements/validators.lock
	.venv/bin/pip install --quiet --quiet --no-deps --ignore-requires-python --target .venv-validators every-eval-ever==0.3.0
	touch $@

# Does this machine compute what asymgrpo believes? On a GPU, or with ACCEPT="--size tiny" on a CPU; results-accept/machine.json.
accept: .venv/.complete
	$(PY) tests/gpu/accept.py $(ACCEPT)

# The GPU lock is resolved for Linux without installing anything.
lock: .venv/.complete
	.venv/bin/uv pip compile --quiet --upgrade --no-annotate --no-header --python-version 3.11 \
	    requirements/cpu.in --output-file requirements/cpu.lock
	.venv/bin/uv pip compile --quiet --upgrade --no-annotate --no-header --python-version 3.11 --override requirements/cpu.lock \
	    $(addprefix --no-emit-package ,torchvision torchaudio torchcodec triton) \
	    requirements/vllm.in --output-file .venv/vllm.all
	grep -vxFf requirements/cpu.lock .venv/vllm.all > requirements/vllm.lock
	grep -v '^rich==' requirements/cpu.lock > .venv/all-but-rich
	.venv/bin/uv pip compile --quiet --upgrade --no-annotate --no-header --python-version 3.11 --override .venv/all-but-rich \
	    requirements/validators.in --output-file .venv/validators.all
	grep -vxFf requirements/cpu.lock .venv/validators.all > requirements/validators.lock
	.venv/bin/uv pip compile --quiet --upgrade --no-annotate --no-header --python-version 3.11 --no-config \
	    --python-platform x86_64-manylinux_2_28 --generate-hashes requirements/gpu.in --output-file requirements/gpu.lock

# What a GPU machine without a network lacks for `asymgrpo accept` (330 MB of downloads, 45 MB to carry).
gpu-wheels: .venv/.complete
	$(PY) tests/gpu/wheels.py

# vLLM for CUDA as sources: what our calls and arguments become on a GPU is tested against them (tests/gpu/desk).
gpu-sources: .venv/.vllm
	$(PY) tests/gpu/wheels.py --sources

# The same tests, and more, in the whole environment of the GPU images (10 GB); no GPU is needed. `.ci/run` leaves it out.
gpu-desk: .venv/.vllm .venv-gpu/.complete
	GPU_PYTHON=.venv-gpu/bin/python $(PY) -m pytest tests/gpu/desk -m "desk or not desk"

.venv-gpu/.complete: requirements/gpu.lock
	[ -d .venv-gpu ] || .venv/bin/python -m venv .venv-gpu
	.venv-gpu/bin/pip install --quiet --quiet --no-deps --require-hashes --requirement requirements/gpu.lock
	touch $@

# Published trainers alone, without what they depend on (tests/adapters runs ours in them; half a minute, 300 MB).
peer-packages: .venv/.complete
	$(PY) tests/method/peers/record.py --install

# The same, and their formulas recorded (tests/method/peers), to compare with; also for speed (benchmarks/step_time.py).
peers: .venv/.complete
	$(PY) tests/method/peers/record.py

# One table of all that is measured, in about five minutes; BENCH=--quick shows in two or three that it works. Keep the machine quiet.
bench: .venv/.complete peer-packages
	$(PY) -m benchmarks.table $(BENCH)

clean:
	rm -rf results checkpoints .snakemake
