"""What this pack adds to the start of ComfyUI: little time, and no package that only some runs need."""

import json
import subprocess

import pytest

from hosts import PROJECT, python_of

LATER = {"cv2", "jinja2", "matplotlib", "open_clip", "pandas", "pyarrow", "ray", "scipy.stats", "torchvision"}
SECONDS = 1.5  # it takes 0.15 to 0.17; the rest is for machines that are busy
PROBE = """
import sys
pack, base = sys.argv[1:]
sys.argv = ["main.py", "--cpu", "--base-directory", base]
sys.path.insert(0, ".")
import comfy.options
comfy.options.enable_args_parsing()
import utils.extra_config, execution, server, nodes, comfy_api.latest  # ComfyUI has them when it loads packs
import importlib.util, json, time
before, start = set(sys.modules), time.perf_counter()
spec = importlib.util.spec_from_file_location("pack", f"{pack}/__init__.py", submodule_search_locations=[pack])
sys.modules["pack"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["pack"])
print(json.dumps([time.perf_counter() - start, sorted(set(sys.modules) - before)]))
"""


@pytest.fixture
def imported(host):
    """The seconds that the import of the pack takes, and the modules that it brings."""
    command = [python_of(host.checkout), "-c", PROBE, str(PROJECT), str(host.base)]
    done = subprocess.run(command, cwd=host.checkout, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_the_pack_is_imported_fast_and_alone(imported):
    seconds, modules = imported
    assert "pack.nodes.sampling" in modules
    assert LATER.isdisjoint(modules)
    assert seconds < SECONDS
