"""Every node has its name and its description in every language; English is what the nodes themselves say."""

import json
from pathlib import Path

import pytest
from test_documents import node_ids

LOCALES = Path(__file__).resolve().parents[1] / "locales"
LANGUAGES = ("de", "es", "fr", "ja", "ko", "zh")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_node_is_translated(language):
    path = LOCALES / language / "nodeDefs.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    wanted = [f"{node}.{key}" for node in sorted(node_ids()) for key in ("display_name", "description")]
    missing = [name for name in wanted if not told.get(name.split(".")[0], {}).get(name.split(".")[1])]
    assert not missing, f"add these keys to locales/{language}/nodeDefs.json: {', '.join(missing)}"


def test_no_language_is_left_out():
    assert {path.name for path in LOCALES.iterdir()} == set(LANGUAGES)
