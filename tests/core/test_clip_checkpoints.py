"""Noised CLIPs on disk: the published two files, ours in one, and what else people give."""

import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from clips import SMALL, golden_clip, small_clip
from glide_core.errors import CheckpointError
from glide_core.files import clip_checkpoints as files
from glide_core.files.checkpoints import TINY_FOLDER
from glide_core.models.clip import NoisedClip, published_names
from glide_core.train.clip_initial import initialise
from golden import Golden

golden = Golden()


def published(model, folder, **instead):
    """Write two files as OpenAI's are, with other tensors instead of some; returns their paths."""
    paths = []
    for part in ("image", "text"):
        tensors = published_names(getattr(model, part).state_dict()) | instead.get(part, {})
        paths.append(folder / f"clip_{part}_enc.pt")
        torch.save(tensors, paths[-1])
    return paths


def test_saved_and_loaded(tmp_path):
    model, _ = small_clip()
    files.save(model, SMALL, tmp_path / "mine.safetensors", dtype=torch.float16)
    (tmp_path / "mine.tokenizer.json").write_text((TINY_FOLDER / "tokenizer.json").read_text())
    loaded, tokenizer = files.load(tmp_path / "mine.safetensors")
    assert loaded.config == SMALL and tokenizer.vocab_size == SMALL.vocab_size
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("given", ["both", "image", "text", "swapped"])
def test_published_files(tmp_path, given):
    config = dataclasses.replace(SMALL, text_width=128, text_heads=2, image_width=64, image_heads=1, vocab_size=65536)
    model = NoisedClip(config)
    initialise(model)
    image, text = published(model, tmp_path)
    paths = {"both": (image, text), "image": (image,), "text": (text,), "swapped": (text, image)}[given]
    loaded, tokenizer = files.load(*paths)
    assert loaded.config == dataclasses.replace(config, logit_scale=100.0) and tokenizer.end == 49407
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_names(tmp_path, monkeypatch):
    monkeypatch.setenv("GLIDE_MODELS", str(tmp_path))
    with pytest.raises(CheckpointError, match="glide fetch clip-image-enc clip-text-enc"):
        files.find("clip")
    with pytest.raises(CheckpointError, match="known: tiny-clip, clip"):
        files.find("nothing")
    model, _ = golden_clip(golden)
    paths = published(model, tmp_path)
    assert files.find("clip") == tuple(paths)


def test_what_does_not_fit(tmp_path):
    model, _ = golden_clip(golden)
    image, text = published(model, tmp_path, text={"blocks.output.f.w": torch.zeros(32, 64)})
    with pytest.raises(CheckpointError, match="gives 64 numbers and the text encoder 32"):
        files.load(image, text)
    with pytest.raises(CheckpointError, match="second image encoder"):
        files.load(image, image)
    text.unlink()
    with pytest.raises(CheckpointError, match="holds the image encoder alone"):
        files.load(image)
    with pytest.raises(CheckpointError, match="no noised CLIP of GLIDE"):
        files.load(TINY_FOLDER / "tiny-base.safetensors")
    other = dataclasses.replace(SMALL, vocab_size=700)
    files.save(NoisedClip(other), other, tmp_path / "words.safetensors")
    with pytest.raises(CheckpointError, match=r"700 tokens.*words.tokenizer.json"):
        files.load(tmp_path / "words.safetensors")


@pytest.mark.parametrize("damage", ["missing", "shape", "integer", "metadata"])
def test_damage(tmp_path, damage):
    model, _ = small_clip()
    tensors = {
        f"{part}.{name}": tensor.clone()
        for part in ("image", "text")
        for name, tensor in published_names(getattr(model, part).state_dict()).items()
    }
    notes = {files.CONFIG_KEY: SMALL.to_json()}
    name = "image.blocks.block_0.f_mlp.f_1.w"
    if damage == "missing":
        del tensors[name]
    elif damage == "shape":
        tensors[name] = tensors[name][:-1].contiguous()
    elif damage == "integer":
        tensors[name] = tensors[name].long()
    else:
        notes[files.CONFIG_KEY] = '{"image_size": -5}'
    save_file(tensors, tmp_path / "a.safetensors", notes)
    with pytest.raises(CheckpointError, match=r"a\.safetensors: "):
        files.load(tmp_path / "a.safetensors")
