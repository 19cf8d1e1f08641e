"""The scenes as a data set."""

import numpy as np
import pytest

from glide_core.tiny.scene_data import Scenes, SceneSource
from glide_core.tiny.scenes import render, sample_scene
from glide_core.train.dataset import LabelledDataset


def test_pictures_rendered_ahead_are_those_of_the_scenes(tmp_path):
    data = Scenes(32, 3, tmp_path)
    assert isinstance(data, LabelledDataset)
    assert all((data.pictures[seed] == render(sample_scene(seed), 32)).all() for seed in range(3))
    assert [path.suffix for path in tmp_path.iterdir()] == [".npy"]


def test_they_are_rendered_once(tmp_path):
    Scenes(32, 3, tmp_path)
    (path,) = tmp_path.iterdir()
    before = path.stat().st_mtime_ns
    Scenes(32, 3, tmp_path)
    assert path.stat().st_mtime_ns == before


def test_several_processes_render_the_same_as_one(tmp_path):
    data = Scenes(8, 300, tmp_path)
    assert data.pictures.shape == (300, 8, 8, 3)
    assert all((data.pictures[seed] == render(sample_scene(seed), 8)).all() for seed in (0, 249, 250, 299))


def test_labels_are_the_scenes_of_the_pictures(tmp_path):
    data = Scenes(32, 3, tmp_path)
    pictures, captions, scenes = data.labelled_batch(np.random.default_rng(0), 5)
    assert len(captions) == 5 and all((render(scene, 32) == picture).all() for scene, picture in zip(scenes, pictures))
    same_pictures, same_captions = data.batch(np.random.default_rng(0), 5)
    assert (same_pictures == pictures).all() and same_captions == captions


@pytest.mark.parametrize("process", [0, 1])
def test_every_process_opens_the_same_scenes(tmp_path, monkeypatch, process):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    data = SceneSource(2).open(16, seed=process, process=process, processes=2)
    assert (data.pictures == np.stack([render(sample_scene(seed), 16) for seed in range(2)])).all()
