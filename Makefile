# make demo      draw prompts with the embedded models into output/
# make test      all tests but the slow and the nightly ones
# make lint      style: ruff's rules and its format
# make format    mend what of that can be mended
# make types     mypy
# make docs      the documents as a site in build/site, without a warning
# make nightly   10,000 cases of each property, and what else takes long
# make comfyui   start the ComfyUI in COMFYUI_PATH with this pack and its example graphs
# make clean     remove what these made

PYTHON ?= python3
PIP := .venv/bin/python -m pip
INSTALLED := .venv/.installed
INSTALLED_DOCS := .venv/.installed-docs

.PHONY: demo test lint format types docs nightly comfyui clean

# These steps suit the tiny base: docs/tiny-models.md.
demo: $(INSTALLED)
	.venv/bin/glide generate --prompts demo/prompts.txt -o output --sheet output/sheet.png --batch 4 \
		--steps 10,10,10,10,20
	@echo "Look at output/sheet.png, and at the single pictures beside it."

# Several processes of one thread each are faster than one of several threads; each has a ComfyUI of its own at most.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n logical --maxprocesses 4 \
		-m "not slow and not nightly" -rs

nightly: $(INSTALLED)
	.venv/bin/python -m pytest -m "nightly or hypothesis" --hypothesis-profile=nightly -rs

lint: $(INSTALLED)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

format: $(INSTALLED)
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

types: $(INSTALLED)
	.venv/bin/mypy
	mkdir -p build/types && ln -sfn ../.. build/types/glide_nodes
	cd build/types && ../../.venv/bin/mypy --config-file ../../pyproject.toml -p glide_nodes.nodes

docs: $(INSTALLED_DOCS)
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict

# Without an NVIDIA GPU, PyPI's torch for Linux would bring gigabytes of CUDA in vain. There the choice is a wheel that
# this machine keeps for pip (PIP_FIND_LINKS), then PyTorch's own CPU build, and only then PyPI's, by the last line.
$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	@if [ "$$(uname)" = Linux ] && ! command -v nvidia-smi > /dev/null && ! .venv/bin/python -c "import torch" 2> /dev/null; then \
		$(PIP) install --no-deps --no-index torch 2> /dev/null \
		|| $(PIP) install --index-url https://download.pytorch.org/whl/cpu torch \
		|| true; \
	fi
	$(PIP) install -e ".[test]"
	touch $@

$(INSTALLED_DOCS): $(INSTALLED)
	$(PIP) install -e ".[docs]"
	touch $@

# A base directory of its own keeps that ComfyUI's settings and custom nodes out of this, and this out of them.
COMFYUI_PYTHON ?= $(firstword $(wildcard $(COMFYUI_PATH)/.venv/bin/python $(COMFYUI_PATH)/venv/bin/python) python3)
COMFYUI_ARGS ?= $(if $(or $(shell command -v nvidia-smi),$(filter Darwin,$(shell uname))),,--cpu)
BASE := $(CURDIR)/build/comfyui

comfyui:
	@test -f "$(COMFYUI_PATH)/main.py" || { echo "Set COMFYUI_PATH to a folder of ComfyUI: make comfyui COMFYUI_PATH=..."; exit 2; }
	mkdir -p "$(BASE)/custom_nodes" "$(BASE)/input" "$(BASE)/user/default/workflows"
	ln -sfn "$(CURDIR)" "$(BASE)/custom_nodes/glide-nodes"
	ln -sfn "$(abspath $(COMFYUI_PATH))/models" "$(BASE)/models"
	cp example_workflows/*.json "$(BASE)/user/default/workflows"
	cp example_workflows/photos/*.png "$(BASE)/input"
	cd "$(COMFYUI_PATH)" && $(COMFYUI_PYTHON) main.py --base-directory "$(BASE)" \
		--database-url "sqlite:///$(BASE)/user/comfyui.db" --preview-method auto $(COMFYUI_ARGS)

clean:
	rm -rf .venv build output *.egg-info
