"""Makes subgraphs/*.json, the blueprints: one node each, with the few inputs that a first picture needs.

    python tests/host/blueprints.py

Needs a ComfyUI, see hosts.py, which tells the inputs of its nodes and of this pack's.
"""

import json
import uuid

from drawn import WIDGETS, drawn
from hosts import PROJECT, Host, find_checkouts

BLUEPRINTS = PROJECT / "subgraphs"
NAMESPACE = uuid.UUID("6d0f7c1e-6c1b-4c0a-9a55-0f5a3c0f6a11")  # of the ids, which stay the same from run to run
INPUT, OUTPUT = -10, -20  # the numbers of a subgraph's own inputs and outputs


class Blueprint:
    """One subgraph: `node` adds a node to it, `expose` makes inputs of its nodes an input of the whole."""

    def __init__(self, infos, name, description, aliases):
        self.infos, self.name, self.description, self.aliases = infos, name, description, aliases
        self.nodes, self.links, self.inputs, self.outputs = [], [], [], []
        self.id = str(uuid.uuid5(NAMESPACE, name))

    def node(self, kind, at, title=None, size=(320, 200), values=(), **links):
        """Adds a node at column and row `at`, with links {input: (node, output)}; gives its number."""
        number = len(self.nodes) + 1
        node = drawn(self.infos[kind], number, (370 * at[0], 330 * at[1]), size, values, title)
        self.nodes.append(node)
        for name, (origin, slot) in links.items():
            self._link(origin, slot, number, name)
        return number

    def _link(self, origin, slot, target, name):
        socket = next(socket for socket in self.nodes[target - 1]["inputs"] if socket["name"] == name)
        number = len(self.links) + 1
        socket["link"] = number
        link = {"id": number, "origin_id": origin, "origin_slot": slot, "target_id": target}
        link |= {"target_slot": self.nodes[target - 1]["inputs"].index(socket), "type": socket["type"]}
        self.links.append(link)
        if origin > 0:
            self.nodes[origin - 1]["outputs"][slot]["links"].append(number)
        return number

    def expose(self, name, *targets, value=None):
        """An input of the whole: the (node, input) that it feeds, and its value if it is a widget."""
        slot = len(self.inputs)
        links = [self._link(INPUT, slot, target, socket) for target, socket in targets]
        self.inputs.append({"name": name, "type": self.links[-1]["type"], "linkIds": links, "value": value})

    def output(self, node, slot):
        """The output of the whole."""
        kind, number = self.nodes[node - 1]["outputs"][slot]["type"], len(self.links) + 1
        link = {"id": number, "origin_id": node, "origin_slot": slot, "target_id": OUTPUT, "target_slot": 0}
        self.links.append(link | {"type": kind})
        self.nodes[node - 1]["outputs"][slot]["links"].append(number)
        self.outputs.append({"name": kind, "type": kind, "linkIds": [number]})

    def write(self):
        height = 20 * len(self.inputs) + 40
        right = max(node["pos"][0] + node["size"][0] for node in self.nodes) + 80
        state = {"lastGroupId": 0, "lastNodeId": len(self.nodes), "lastLinkId": len(self.links), "lastRerouteId": 0}
        definition = {"id": self.id, "version": 1, "state": state, "revision": 0, "config": {}, "name": self.name}
        definition |= {
            "inputNode": {"id": INPUT, "bounding": [-240, 0, 140, height]},
            "outputNode": {"id": OUTPUT, "bounding": [right, 0, 120, 60]},
            "inputs": [self._port(port, [-120, 20 + 20 * i]) for i, port in enumerate(self.inputs)],
            "outputs": [self._port(port, [right + 20, 20]) for port in self.outputs],
            "widgets": [],
            "nodes": self.nodes,
            "groups": [],
            "links": self.links,
            "extra": {},
            "category": "GLIDE",
            "description": self.description,
        }
        promoted = [port for port in self.inputs if port["type"] in WIDGETS]
        ports = [{"name": port["name"], "type": port["type"], "link": None} for port in self.inputs]
        for port in ports:
            if port["type"] in WIDGETS:
                port["widget"] = {"name": port["name"]}
        instance = {"id": 1, "type": self.id, "pos": [0, 0], "size": [400, 60 + 40 * len(ports)], "flags": {}}
        instance |= {"order": 0, "mode": 0, "inputs": ports, "title": self.name}
        instance["outputs"] = [{"name": port["name"], "type": port["type"], "links": []} for port in self.outputs]
        instance["properties"] = {"proxyWidgets": [["-1", port["name"]] for port in promoted]}
        instance["widgets_values"] = [port["value"] for port in promoted]
        graph = {"id": self.id, "revision": 0, "last_node_id": 1, "last_link_id": 0, "nodes": [instance], "links": []}
        graph |= {"groups": [], "definitions": {"subgraphs": [definition]}, "config": {}}
        graph |= {"extra": {"BlueprintDescription": self.description, "BlueprintSearchAliases": self.aliases}}
        graph |= {"version": 0.4}
        path = BLUEPRINTS / f"{self.name.replace(':', ' -')}.json"
        path.write_text(json.dumps(graph, indent=1) + "\n", encoding="utf-8")
        print(path)

    def _port(self, port, pos):
        shown = {"id": str(uuid.uuid5(NAMESPACE, f"{self.name}/{port['name']}")), "name": port["name"]}
        return shown | {"type": port["type"], "linkIds": port["linkIds"], "pos": pos}


def loaders(blueprint, inpaint):
    """The two loaders and the prompt; their numbers and the names of their models."""
    names = [f"tiny-{kind}{'-inpaint' if inpaint else ''} (embedded)" for kind in ("base", "upsample")]
    base = blueprint.node("GlideLoader", (0, 0), "Base model", values={"checkpoint": names[0]})
    upsampler = blueprint.node("GlideLoader", (0, 1), "Upsampler", values={"checkpoint": names[1]})
    prompt = blueprint.node("GlideTextEncode", (1, 0), "Prompt", clip=(base, 1))
    return base, upsampler, prompt, names


def text_to_image(infos):
    b = Blueprint(infos, "GLIDE: text to image", "Paints a prompt with GLIDE, 256x256 pixels.", ["text to image"])
    base, upsampler, prompt, names = loaders(b, inpaint=False)
    canvas = b.node("EmptyGlideLatent", (1, 1))
    paint = b.node("GlideSampler", (2, 0), model=(base, 0), positive=(prompt, 0), latent=(canvas, 0))
    fine = b.node(
        "GlideUpsampler",
        (3, 0),
        model=(upsampler, 0),
        clip=(upsampler, 1),
        positive=(prompt, 0),
        latent=(paint, 0),
    )
    b.expose("prompt", (prompt, "text"), value="a red circle on a blue background")
    b.expose("seed", (paint, "seed"), (fine, "seed"), value=6)
    b.expose("steps", (paint, "steps"), value="50")
    b.expose("guidance_scale", (paint, "guidance_scale"), value=3.0)
    b.expose("base_model", (base, "checkpoint"), value=names[0])
    b.expose("upsampler", (upsampler, "checkpoint"), value=names[1])
    b.output(fine, 1)
    return b


def edit(infos, name, description, aliases, *, crop_factor, denoise=1.0):
    """A square around the mask is repainted; a sketch under the mask is kept by a `denoise` below 1."""
    b = Blueprint(infos, name, description, aliases)
    base, upsampler, prompt, names = loaders(b, inpaint=True)
    crop, paint, stitch = repaint(b, (base, upsampler, prompt), 0, {"crop_factor": crop_factor}, denoise)
    b.expose("image", (crop, "image"))
    b.expose("mask", (crop, "mask"))
    b.expose("prompt", (prompt, "text"), value="a yellow star on a pink background")
    b.expose("seed", (paint, "seed"), value=6)
    if denoise < 1:
        b.expose("denoise", (paint, "denoise"), value=denoise)
    b.expose("base_model", (base, "checkpoint"), value=names[0])
    b.expose("upsampler", (upsampler, "checkpoint"), value=names[1])
    b.output(stitch, 0)
    return b


def repaint(b, models, row, crop_values, denoise=1.0, **photo):
    """GlideCrop, GlideInpaint, GlideUpsampler and GlideStitch in a row; gives the first, the second and the last."""
    base, upsampler, prompt = models
    crop = b.node("GlideCrop", (1, 1 + row), values=crop_values, **photo)
    paint = b.node(
        "GlideInpaint",
        (2, row),
        model=(base, 0),
        positive=(prompt, 0),
        image=(crop, 0),
        mask=(crop, 1),
        values={"denoise": denoise},
    )
    fine = b.node(
        "GlideUpsampler",
        (3, row),
        model=(upsampler, 0),
        clip=(upsampler, 1),
        positive=(prompt, 0),
        latent=(paint, 0),
        original=(crop, 0),
        mask=(crop, 1),
    )
    return crop, paint, b.node("GlideStitch", (4, row), crop=(fine, 1), regions=(crop, 2))


def widen(infos):
    b = Blueprint(
        infos,
        "GLIDE: widen a photo",
        "Adds margins to a photo and paints them with GLIDE, in two squares: one for each side, or two on one side.",
        ["outpaint", "extend image", "uncrop"],
    )
    base, upsampler, prompt, names = loaders(b, inpaint=True)
    pad = b.node("GlideOutpaintPad", (0, 2))
    models, squares = (base, upsampler, prompt), {"squares": "next square"}
    _, paint, stitch = repaint(b, models, 0, squares, image=(pad, 0), mask=(pad, 1))
    _, again, last = repaint(b, models, 2, squares, image=(stitch, 0), mask=(stitch, 1))
    b.expose("image", (pad, "image"))
    b.expose("left", (pad, "left"), value=0)
    b.expose("right", (pad, "right"), value=64)
    b.expose("prompt", (prompt, "text"), value="a white circle on a blue background")
    b.expose("seed", (paint, "seed"), (again, "seed"), value=4)
    b.expose("base_model", (base, "checkpoint"), value=names[0])
    b.expose("upsampler", (upsampler, "checkpoint"), value=names[1])
    b.output(last, 0)
    return b


def main():
    BLUEPRINTS.mkdir(exist_ok=True)
    with Host(find_checkouts()[-1]) as host:
        make(host.object_info())


def make(infos):
    text_to_image(infos).write()
    edit(
        infos,
        "GLIDE: edit a photo",
        "Repaints the masked part of a photo of any size with GLIDE.",
        ["inpaint", "edit", "repaint"],
        crop_factor=2.0,
    ).write()
    widen(infos).write()
    edit(
        infos,
        "GLIDE: sketch to picture",
        "Turns what is drawn under the mask into a painting with GLIDE. A smaller denoise keeps more of the sketch.",
        ["sketch to image", "scribble", "img2img"],
        crop_factor=1.3,
        denoise=0.8,
    ).write()


if __name__ == "__main__":
    main()
