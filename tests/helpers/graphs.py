"""Graphs in API format: written as calls or read from a file; the pictures and float latents that they make."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from hosts import HostError

GRAPHS = Path(__file__).parents[2] / "example_workflows" / "api"

BASE, UPSAMPLE = "tiny-base (embedded)", "tiny-upsample (embedded)"
INPAINT = "tiny-base-inpaint (embedded)"
PROMPT = "a red circle on a blue background"


class Graph(dict):
    """A graph in API format: `node` adds one and gives what others connect to; `inputs` finds one."""

    @classmethod
    def example(cls, name, **changes):
        """The graph of an example workflow in fp32 and with other inputs: GlideSampler={"seed": 1}.

        A node is named by its class, or by its title ("Base_model") where the graph has several of that class.
        """
        graph = cls(json.loads((GRAPHS / f"{name}.json").read_text(encoding="utf-8")))
        for node in graph.values():
            if node["class_type"] == "GlideLoader":
                node["inputs"]["dtype"] = "fp32"
        for node, inputs in changes.items():
            graph.inputs(node.replace("_", " ")).update(inputs)
        return graph

    def number(self, name):
        """The number of the one node of this class or with this title."""
        (number,) = (
            number for number, node in self.items() if name in (node["class_type"], node.get("_meta", {}).get("title"))
        )
        return number

    def inputs(self, name):
        """The inputs of the one node of this class or with this title."""
        return self[self.number(name)]["inputs"]

    def node(self, class_type, outputs=1, **inputs):
        """The node's output, or a list of them."""
        number = str(len(self) + 1)
        self[number] = {"class_type": class_type, "inputs": inputs}
        links = [[number, slot] for slot in range(outputs)]
        return links[0] if outputs == 1 else links

    def load(self, checkpoint=BASE, dtype="fp32"):
        """MODEL, CLIP and VAE."""
        return self.node("GlideLoader", 3, checkpoint=checkpoint, dtype=dtype)

    def text(self, clip, text=PROMPT):
        return self.node("CLIPTextEncode", clip=clip, text=text)

    def empty(self, width=64, height=64, batch_size=1):
        return self.node("EmptyGlideLatent", width=width, height=height, batch_size=batch_size)

    def ksampler(self, model, positive, negative, latent, **changes):
        options = {
            "seed": 1,
            "steps": 4,
            "cfg": 3.0,
            "sampler_name": "euler",
            "scheduler": "sgm_uniform",
            "denoise": 1.0,
        }
        links = {"model": model, "positive": positive, "negative": negative, "latent_image": latent}
        return self.node("KSampler", **links, **options | changes)

    def save(self, latent):
        self.node("SaveLatent", samples=latent, filename_prefix="test")


def pictures(host, graph):
    """Runs a graph; the pictures of its one SaveImage, int [H, W, C] in 0..255."""
    return [host.image(entry).astype(int) for entry in host.run(graph)[graph.number("SaveImage")]["images"]]


def failure(host, graph):
    """Runs a graph that must fail; everything that its user is told."""
    with pytest.raises(HostError) as caught:
        host.run(graph)
    return f"{caught.value} {caught.value.node_errors} {caught.value.detail}"


def latents(host, graph):
    """Runs a graph; the samples of each SaveLatent in it, in order, float32 [B, 3, H, W]."""
    return finished_latents(host, graph, host.run(graph))


def finished_latents(host, graph, outputs):
    entries = [outputs[number]["latents"][0] for number in graph if graph[number]["class_type"] == "SaveLatent"]
    files = (host.base / "output" / entry["subfolder"] / entry["filename"] for entry in entries)
    return [load_file(file)["latent_tensor"] for file in files]
