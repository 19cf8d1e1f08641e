"""Makes example_workflows/*.json, the templates, from the graphs for programs in example_workflows/api.

    python tests/host/templates.py

A graph has the nodes, their values and their links; `template_list.py` says where they stand, what they are grouped
to, what to change first, and which pictures are shown on the way. `test_templates.py` fails where files and this
differ. Needs a ComfyUI, see hosts.py, which tells the inputs of the nodes.
"""

import json

from template_list import TEMPLATES

from drawn import drawn
from glide_core.files.download import FILES
from hosts import PROJECT, Host, find_checkouts

EXAMPLES = PROJECT / "example_workflows"
BLUE, RED = "#5878f0", "#f0604c"  # of the pack's icon: what goes in and comes out, and what paints
NOTE_COLOURS = {"color": "#432", "bgcolor": "#653"}
GAP, TITLE, MARGIN = 50, 30, 20
# Width, height when opened, and the height that the node may grow to when it shows previews.
SIZES = {
    "CLIPTextEncode": (340, 140, 140),
    "EmptyGlideLatent": (270, 130, 130),
    "GlideBest": (380, 300, 520),
    "GlideCLIPGuidance": (380, 320, 320),
    "GlideCrop": (280, 360, 560),
    "GlideGrid": (420, 160, 560),
    "GlideInpaint": (300, 430, 700),
    "GlideInpaintConditioning": (300, 130, 130),
    "GlideLoader": (340, 140, 240),
    "GlideOutpaintPad": (280, 180, 180),
    "GlidePrompts": (380, 240, 240),
    "GlideSampler": (300, 390, 660),
    "GlideStitch": (280, 200, 200),
    "GlideSweep": (380, 540, 540),
    "GlideTally": (380, 300, 300),
    "GlideTextEncode": (340, 180, 220),
    "GlideUpsampler": (300, 430, 700),
    "KSampler": (300, 280, 540),
    "LoadImage": (320, 350, 400),
    "MaskComposite": (300, 170, 170),
    "Note": (400, 200, 200),
    "PreviewImage": (340, 300, 320),
    "SamplerCustomAdvanced": (300, 360, 420),
    "SaveImage": (340, 400, 420),
    "TrainLoraNode": (340, 660, 660),
    "VAEDecode": (210, 60, 60),
    "VAEEncode": (210, 60, 60),
}
OTHERS = (300, 150, 150)


class Drawing:
    """A template's file: `place` puts a group beside the one before."""

    def __init__(self, template, infos):
        self.template, self.infos = template, infos
        path = EXAMPLES / "api" / f"{template.graph}.json"
        self.graph = json.loads(path.read_text(encoding="utf-8"))
        self.numbers = {node["_meta"]["title"]: int(number) for number, node in self.graph.items()}
        self.nodes, self.links, self.groups, self.right = [], [], [], 0

    def draw(self):
        self._note()
        for title, names in self.template.groups.items():
            self._group(title, names)
        for number, node in self.graph.items():
            for name, value in node["inputs"].items():
                if isinstance(value, list):
                    self._link(int(value[0]), value[1], int(number), name)
        for title, (_, pictures) in self.template.shown.items():
            for name, (source, slot) in pictures.items():
                self._link(self.numbers[source], slot, self.numbers[title], name)
        self.nodes.sort(key=lambda node: node["id"])
        file = {"last_node_id": len(self.nodes), "last_link_id": len(self.links), "nodes": self.nodes}
        return file | {"links": self.links, "groups": self.groups, "config": {}, "extra": {}, "version": 0.4}

    def _note(self):
        width, height, _ = SIZES["Note"]
        note = {"id": len(self.graph) + len(self.template.shown) + 1, "type": "Note", "pos": [0, 0]}
        note |= {"size": [width, height], "flags": {}, "order": 0, "mode": 0, "inputs": [], "outputs": []}
        note |= {"properties": {}, "widgets_values": [self.template.note], "title": "What to change first"}
        self.nodes.append(note | NOTE_COLOURS)
        self.right = width + GAP

    def _group(self, title, names):
        """A column of nodes and the frame around it."""
        left, y, width = self.right + MARGIN, 0, 0
        paints = any(self._kind(name).endswith(("Sampler", "Upsampler", "Inpaint", "Advanced")) for name in names)
        for name in names:
            kind = self._kind(name)
            across, opened, room = SIZES.get(kind, OTHERS)
            room = self.template.rooms.get(name, room)
            self._node(name, kind, (left, y), (across, opened))
            y, width = y + room + GAP + TITLE, max(width, across)
        top = -TITLE - 2 * MARGIN
        frame = [left - MARGIN, top, width + 2 * MARGIN, y - GAP - TITLE + MARGIN - top]
        colour = RED if paints else BLUE
        self.groups.append({"title": title, "bounding": frame, "color": colour, "font_size": 24, "flags": {}})
        self.right = left + width + MARGIN + GAP

    def _kind(self, name):
        if name in self.template.shown:
            return self.template.shown[name][0]
        return self.graph[str(self.numbers[name])]["class_type"]

    def _node(self, name, kind, pos, size):
        if name in self.template.shown:
            self.numbers[name] = len(self.graph) + 1 + list(self.template.shown).index(name)
        number = self.numbers[name]
        values = self.graph[str(number)]["inputs"] if str(number) in self.graph else {}
        node = drawn(self.infos[kind], number, pos, size, values, name)
        if kind == "GlideLoader":
            node["properties"] |= published(values["checkpoint"])
        self.nodes.append(node)

    def _link(self, origin, slot, target, name):
        """A line from an output to the input of this name."""
        by_number = {node["id"]: node for node in self.nodes}
        source, sink = by_number[origin]["outputs"][slot], by_number[target]
        place = next(place for place, socket in enumerate(sink["inputs"]) if socket["name"] == name)
        number = len(self.links) + 1
        source["links"].append(number)
        sink["inputs"][place]["link"] = number
        self.links.append([number, origin, slot, target, place, source["type"]])


def published(checkpoint):
    """What newer frontends read to offer a missing model."""
    urls = [
        f"{file.base_url}/{checkpoint}" for files in FILES.values() for file in files if file.filename == checkpoint
    ]
    return {"models": [{"name": checkpoint, "url": url, "directory": "glide"} for url in urls]} if urls else {}


def templates(infos):
    """{file name: its content}."""
    return {
        f"{place:02}_{template.graph}": Drawing(template, infos).draw() for place, template in enumerate(TEMPLATES, 1)
    }


def main():
    with Host(find_checkouts()[-1]) as host:
        made = templates(host.object_info())
    for name, content in made.items():
        (EXAMPLES / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main()
