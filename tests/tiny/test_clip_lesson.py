"""What the embedded noised CLIP is taught beside its captions."""

import numpy as np
import pytest

from glide_core.tiny.clip_lesson import silhouettes
from glide_core.tiny.scenes import render, sample_scene

SIDE = 64


@pytest.mark.parametrize("seed", range(20))
def test_silhouettes_are_where_the_picture_shows_objects(seed):
    scene = sample_scene(seed)
    covered, inner = silhouettes(scene, SIDE) > 0.5
    shown = np.abs(render(scene, SIDE).astype(int) - scene.background_rgb).max(axis=2) > 15
    assert (covered & shown).sum() > 0.85 * (covered | shown).sum()
    assert inner.any() == (scene.relation == "inside")
    assert not (inner & ~covered).any()
