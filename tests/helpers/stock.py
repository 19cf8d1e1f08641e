"""ComfyUI's own nodes in graphs of tests."""


def defaults(info):
    """The inputs that a node has when it is put into a graph, without those that are linked."""
    found = {}
    for name, (kind, *options) in info["input"]["required"].items():
        options = options[0] if options else {}
        choices = kind if isinstance(kind, list) else options.get("options")
        if "default" in options or choices:
            found[name] = options.get("default", choices[0] if choices else None)
    return found


def far(one, other):
    return float((one - other).abs().max())
