"""Nodes as the frontend's files have them, from what /object_info says of their inputs."""

WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")


def type_of(spec):
    return "COMBO" if isinstance(spec[0], list) else spec[0]


def default_of(spec):
    options = spec[1] if len(spec) > 1 else {}
    choices = spec[0] if isinstance(spec[0], list) else options.get("options")
    empty = {"INT": 0, "FLOAT": 0.0, "BOOLEAN": False}.get(type_of(spec), "")
    return options.get("default", choices[0] if choices else empty)


def drawn(info, number, pos, size, values=(), title=None):
    """A node without links: `values` of its widgets where they are not the defaults."""
    specs = info["input"].get("required", {}) | info["input"].get("optional", {})
    widgets = []
    for name, spec in specs.items():
        if type_of(spec) in WIDGETS:
            value = dict(values).get(name)
            widgets.append(default_of(spec) if value is None or isinstance(value, list) else value)
            if name in ("seed", "noise_seed") or (spec[1:] and spec[1].get("control_after_generate")):
                widgets.append("fixed")
            if spec[1:] and spec[1].get("image_upload"):
                widgets.append("image")
    sockets = [
        {"name": name, "type": type_of(spec), "link": None}
        | ({"widget": {"name": name}} if type_of(spec) in WIDGETS else {})
        for name, spec in specs.items()
    ]
    outputs = [{"name": name, "type": kind, "links": []} for name, kind in zip(info["output_name"], info["output"])]
    node = {"id": number, "type": info["name"], "pos": list(pos), "size": list(size), "flags": {}}
    node |= {"order": number - 1, "mode": 0, "inputs": sockets, "outputs": outputs}
    node |= {"properties": {"Node name for S&R": info["name"]}, "widgets_values": widgets}
    return node | ({"title": title} if title else {})
