"""The recipes of the embedded models: every stage is a command that `glide train` takes, and follows the one before."""

from glide_core.files import checkpoints
from glide_core.models.config import TINY
from glide_core.tiny import recipes


def test_there_is_a_recipe_for_every_tiny_model():
    assert set(recipes.STAGES) == set(recipes.NAMES) == {f"tiny-{kind}" for kind in TINY}


def test_an_inpainting_model_is_made_from_nothing(tmp_path):
    quick = ["--scenes", "4", "--batch", "2", "--precision", "fp32"]
    path = recipes.make("tiny-upsample-inpaint", tmp_path, scale=1e-6, options=quick)
    assert checkpoints.load(path).config == TINY["upsample-inpaint"]
    assert checkpoints.load(tmp_path / "tiny-upsample.safetensors").config == TINY["upsample"]
    stages = len(recipes.STAGES["tiny-upsample"]) + len(recipes.STAGES["tiny-upsample-inpaint"])
    assert len(list(tmp_path.glob("*/state.pt"))) == stages
    before = path.stat().st_mtime_ns
    assert recipes.make("tiny-upsample-inpaint", tmp_path).stat().st_mtime_ns == before  # nothing is made twice
