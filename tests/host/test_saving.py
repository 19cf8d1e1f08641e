"""What ModelSave and CheckpointSave write is read again by GlideLoader, and paints the same picture."""

import pytest
import torch

from glide_core.files import checkpoints
from graphs import Graph, latents
from stock import far


@pytest.fixture(scope="module")
def other(host):
    """A model of the same size with other weights everywhere, position tables included."""
    weights, config = checkpoints.read_model(checkpoints.find("tiny-base"))
    generator = torch.Generator().manual_seed(1)
    noisy = {name: w * (1 + 0.3 * torch.randn(w.shape, generator=generator)).to(w) for name, w in weights.items()}
    folder = host.base / "models" / "glide"
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints.save(noisy, config, folder / "second.safetensors")
    (folder / "tokenizer.json").write_bytes((checkpoints.TINY_FOLDER / "tokenizer.json").read_bytes())
    return "second.safetensors"


def paint(graph, model, clip):
    graph.save(graph.ksampler(model, graph.text(clip), graph.text(clip, ""), graph.empty(), steps=2))


def loaded(host, name):
    graph = Graph()
    model, clip, _ = graph.load(name)
    paint(graph, model, clip)
    return latents(host, graph)[0]


def newest(host, prefix):
    """The file that a saving node wrote, moved into the folder of the models -> its name there."""
    (written,) = (host.base / "output").glob(f"{prefix}*.safetensors")
    written.rename(host.base / "models" / "glide" / f"{prefix}.safetensors")
    return f"{prefix}.safetensors"


@pytest.mark.parametrize("node", ["ModelSave", "CheckpointSave"])
@pytest.mark.parametrize("merged", [False, True], ids=["plain", "merged"])
def test_a_saved_model_paints_as_before(host, other, node, merged):
    graph = Graph()
    model, clip, vae = graph.load()
    if merged:
        model = graph.node("ModelMergeSimple", model1=model, model2=graph.load(other)[0], ratio=0.7)
    prefix = f"{node}-{merged}"
    links = {"clip": clip, "vae": vae} if node == "CheckpointSave" else {}
    graph.node(node, model=model, filename_prefix=prefix, **links)
    paint(graph, model, clip)
    (before,) = latents(host, graph)
    assert far(loaded(host, newest(host, prefix)), before) < 2e-3


def test_a_whole_merge_keeps_the_tables_of_the_first_text_transformer(host, other):
    """The host merges layers alone, so that the tables of positions and of padding stay those of the first model."""
    weights, config = checkpoints.read_model(host.base / "models" / "glide" / other)
    first, _ = checkpoints.read_model(checkpoints.find("tiny-base"))
    tables = {name: first[name] for name in ("positional_embedding", "padding_embedding")}
    checkpoints.save({**weights, **tables}, config, host.base / "models" / "glide" / "expected.safetensors")
    graph = Graph()
    (one, one_clip, _), (two, two_clip, _) = graph.load(), graph.load(other)
    model = graph.node("ModelMergeSimple", model1=one, model2=two, ratio=0.0)
    clip = graph.node("CLIPMergeSimple", clip1=one_clip, clip2=two_clip, ratio=0.0)
    paint(graph, model, clip)
    assert far(latents(host, graph)[0], loaded(host, "expected.safetensors")) < 2e-3
