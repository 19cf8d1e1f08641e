"""Makes locales/en/nodeDefs.json: what the nodes say of themselves, as the keys that every other language has too.

python tests/host/english.py

Needs a ComfyUI, see hosts.py. `test_contract.py` fails as long as file and nodes differ.
"""

import json

from hosts import PACK, PROJECT, Host, find_checkouts

FILE = PROJECT / "locales" / "en" / "nodeDefs.json"


def english(infos):
    """The texts of this pack's nodes in the frontend's format of translations, from the host's /object_info."""
    ours = {name: info for name, info in sorted(infos.items()) if info["python_module"].endswith(PACK)}
    return {name: _node(info) for name, info in ours.items() if not info.get("deprecated")}  # menus do not show those


def _node(info):
    inputs = {**info["input"]["required"], **info["input"].get("optional", {})}
    return {
        "display_name": info["display_name"],
        "description": info["description"],
        "inputs": {name: {"name": name, "tooltip": options["tooltip"]} for name, (_, options) in inputs.items()},
        "outputs": {str(slot): output for slot, output in enumerate(_outputs(info))},
    }


def _outputs(info):
    for name, kind, tooltip in zip(info["output_name"], info["output"], info["output_tooltips"]):
        yield {"tooltip": tooltip} if name == kind else {"name": name, "tooltip": tooltip}


def main():
    with Host(find_checkouts()[-1]) as host:
        texts = english(host.object_info())
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(texts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(FILE)


if __name__ == "__main__":
    main()
