"""Makes example_workflows/<name>.jpg: what each example's graph (example_workflows/api/<name>.json) really paints.

    python tests/host/thumbnails.py [NAME ...]      (default: all examples)

Look at each before you commit it. Needs a ComfyUI, see hosts.py, and the models that the graphs name.
"""

import shutil
import sys

from PIL import Image

from graphs import Graph
from hosts import PROJECT, Host, find_checkouts

EXAMPLES = PROJECT / "example_workflows"
LONGEST = 512
RUN_SECONDS = 3600


def make(host, name):
    graph = Graph.example(name.partition("_")[2])
    outputs = host.run(graph, RUN_SECONDS)
    picture = Image.fromarray(host.image(outputs[graph.number("SaveImage")]["images"][0]))
    picture.thumbnail((LONGEST, LONGEST))
    picture.save(EXAMPLES / f"{name}.jpg", quality=90)
    print(EXAMPLES / f"{name}.jpg")
    for lora in (host.base / "output" / "loras").glob("*.safetensors"):
        shutil.copy(lora, host.base / "models" / "loras")  # use_lora loads what train_lora saves


def main():
    names = sys.argv[1:] or sorted(path.stem for path in EXAMPLES.glob("*.json") if "openai" not in path.stem)
    with Host(find_checkouts()[-1]) as host:
        for photo in (EXAMPLES / "photos").glob("*.png"):
            shutil.copy(photo, host.base / "input")  # with all frames
        (host.base / "models" / "loras").mkdir(parents=True, exist_ok=True)
        for name in names:
            make(host, name)


if __name__ == "__main__":
    main()
