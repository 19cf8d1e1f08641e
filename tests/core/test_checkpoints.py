from __future__ import annotations

import copy
import dataclasses
import json
import os
import pickle
import resource
import subprocess
import sys
import time
import zipfile
from contextlib import contextmanager

import pytest
import tokenizers
import torch
from safetensors.torch import load_file, save_file
from tokenizers import models

from glide_core.errors import CheckpointError
from glide_core.files import checkpoints, detect, integrity, reading
from glide_core.models.config import BASE, PUBLISHED, TINY_BASE, TINY_UPSAMPLE, ModelConfig
from glide_core.models.text2im import Text2Im

SMALL = dataclasses.replace(
    TINY_BASE, num_channels=16, xf_width=32, xf_layers=1, xf_heads=1, channel_mult=(1, 2, 2, 4), vocab_size=300
)


@pytest.fixture(autouse=True)
def empty_models_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("GLIDE_MODELS", str(tmp_path / "models"))


@pytest.fixture(scope="module")
def weights() -> detect.StateDict:
    generator = torch.Generator().manual_seed(0)
    return {name: 0.1 * torch.randn(shape, generator=generator) for name, shape in detect.shapes(SMALL).items()}


@pytest.fixture
def saved(weights, tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoints.save(weights, SMALL, path)
    return path


def meta_tensors(shapes) -> detect.StateDict:
    return {name: torch.empty(tuple(shape), device="meta") for name, shape in shapes.items()}


def assert_same_weights(model: Text2Im, weights):
    state = model.state_dict()
    assert state.keys() == weights.keys()
    assert all(torch.equal(state[name], weights[name]) for name in weights)


# Recognising


@pytest.mark.parametrize("kind", PUBLISHED)
def test_published_models_are_recognised(kind, golden_dir):
    manifest = json.loads((golden_dir / "checkpoint_manifests.json").read_text())[kind]
    state_dict = meta_tensors(manifest)
    config = detect.detect_config(state_dict, {})
    assert config == PUBLISHED[kind]
    detect.check(state_dict, detect.shapes(config))


@pytest.mark.parametrize("inpaint", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        TINY_BASE,
        TINY_UPSAMPLE,
        dataclasses.replace(TINY_BASE, num_res_blocks=2, channel_mult=(1, 2, 3), image_size=32, text_ctx=16),
        dataclasses.replace(BASE, xf_width=128, xf_heads=2, xf_layers=3, vocab_size=999, attention_resolutions=(8,)),
        dataclasses.replace(TINY_UPSAMPLE, image_size=128, channel_mult=(1, 2, 2, 4, 4), attention_resolutions=()),
    ],
)
def test_sizes_are_read_from_the_shapes(config, inpaint):
    config = dataclasses.replace(config, inpaint=inpaint)
    assert detect.detect_config(meta_tensors(detect.shapes(config)), {}) == config


@pytest.mark.parametrize("name", ["clip/image-enc", "clip/text-enc"])
def test_clip_encoder_is_called_by_its_name(name, golden_dir):
    manifest = json.loads((golden_dir / "checkpoint_manifests.json").read_text())[name]
    with pytest.raises(CheckpointError, match="GLIDE's noised CLIP encoder, not a diffusion model"):
        detect.detect_config(meta_tensors(manifest), {})


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3), "vae": (1,)}, "a Stable Diffusion checkp"),
        ({"unet.input_blocks.1.1.qkv.lora_A.weight": (4, 64)}, "a LoRA, not a whole model"),
        ({"input_blocks.0.0.weight": (192, 3, 3, 3)}, "not a GLIDE model: it has no tensor 'positional_embedding'"),
    ],
)
def test_another_model_is_refused(shapes, message):
    with pytest.raises(CheckpointError, match=message):
        detect.detect_config(meta_tensors(shapes), {})


def test_wrong_input_channels_are_refused(weights):
    weights = weights | {"input_blocks.0.0.weight": torch.zeros(16, 4, 3, 3)}
    with pytest.raises(CheckpointError, match=r"reads 4 channels, but GLIDE's read one of \[3, 6, 7, 10\]"):
        detect.detect_config(weights, {})


def test_metadata_wins_over_the_guess():
    config = dataclasses.replace(SMALL, num_head_channels=16, noise_schedule="linear")
    metadata = {detect.CONFIG_KEY: config.to_json()}
    assert detect.detect_config(meta_tensors(detect.shapes(config)), metadata) == config


@pytest.mark.parametrize("text", ["{", "[]", '{"colour": 1}', '{"channel_mult": []}', '{"num_channels": "x"}'])
def test_nonsense_metadata_is_refused(text, weights, tmp_path):
    save_file(weights, tmp_path / "m.safetensors", {detect.CONFIG_KEY: text})
    with pytest.raises(CheckpointError, match="m.safetensors: "):
        checkpoints.load_model(tmp_path / "m.safetensors")


# Loading


def test_save_and_load(saved, weights):
    model = checkpoints.load_model(saved)
    assert model.config == SMALL and not model.training
    assert not any(p.requires_grad for p in model.parameters())
    assert_same_weights(model, weights)


def test_loaded_model_computes_the_same(saved, weights):
    expected = Text2Im(SMALL).eval()
    expected.load_state_dict(weights)
    inputs = torch.randn(1, 3, 64, 64), torch.tensor([500]), torch.zeros(1, 32).long(), torch.ones(1, 32).bool()
    with torch.no_grad():
        torch.testing.assert_close(checkpoints.load_model(saved)(*inputs), expected(*inputs))


def test_load_in_another_dtype(saved, weights):
    model = checkpoints.load_model(saved, dtype=torch.bfloat16)
    assert model.unet.dtype == torch.bfloat16
    assert_same_weights(model, {name: tensor.bfloat16() for name, tensor in weights.items()})


OTHER = {"decay": 0.999, "note": torch.zeros(3)}


def prefixed(weights, prefix):
    return {prefix + name: tensor for name, tensor in weights.items()}


WRAPPED = {
    "plain": lambda w: w,
    "parameters": lambda w: {name: torch.nn.Parameter(tensor) for name, tensor in w.items()},
    "lightning": lambda w: {"state_dict": prefixed(w, "model."), "epoch": 3},
    "model_state_dict": lambda w: {"model_state_dict": w, "optimizer_state_dict": {"state": {}}},
    "deepspeed": lambda w: {"module": prefixed(w, "module."), "global_steps": 3},
    "model": lambda w: {"model": prefixed(w, "module."), "step": torch.tensor(3)},
    "params_ema": lambda w: {"params": {name: -tensor for name, tensor in w.items()}, "params_ema": w},
    "ema beside the model": lambda w: {"model": {name: -tensor for name, tensor in w.items()}, "ema": w},
    "ema that is no model": lambda w: {"ema": OTHER, "model": w},
    "nested": lambda w: {"state_dict": {"model": {"module": w}}},
    "compiled": lambda w: prefixed(w, "_orig_mod."),
    "parallel": lambda w: prefixed(w, "module."),
    "compiled, parallel": lambda w: prefixed(w, "module._orig_mod."),
    "parallel, compiled": lambda w: prefixed(w, "_orig_mod.module."),
    "glide-finetune": lambda w: prefixed(w, "glide_model."),
    "lightning of a compiled one": lambda w: {"state_dict": prefixed(w, "glide_model._orig_mod.")},
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrap", WRAPPED)
def test_files_of_other_tools_load(wrap, zipped, weights, tmp_path):
    path = tmp_path / "tuned.pt"
    torch.save(WRAPPED[wrap](weights), path, _use_new_zipfile_serialization=zipped)
    model = checkpoints.load_model(path)
    assert model.config == SMALL
    assert_same_weights(model, weights)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "glide_model.", "model."])
def test_safetensors_of_other_tools_load(prefix, weights, tmp_path):
    save_file(prefixed(weights, prefix), tmp_path / "tuned.safetensors")
    assert_same_weights(checkpoints.load_model(tmp_path / "tuned.safetensors"), weights)


def test_wrappers_without_a_model_hold_no_tensors(tmp_path):
    torch.save({"model": {"module": {"ema": {}}}}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="holds no tensors"):
        checkpoints.load_model(tmp_path / "m.pt")


def test_the_ending_of_the_name_does_not_matter(saved, weights):
    assert_same_weights(checkpoints.load_model(saved.rename(saved.with_name("model.pt"))), weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("time_embed.2.bias"), r"'time_embed.2.bias' is missing \(expected shape \(64,\)\)"),
        (lambda w: w.pop("output_blocks.1.2.in_layers.0.weight"), "'output_blocks.1.2.in_layers.0.weight' is missing"),
        (lambda w: w.pop("input_blocks.5.1.qkv.weight"), "'input_blocks.5.1.qkv.weight' is missing"),
        (lambda w: w.update(extra=torch.zeros(2)), r"'extra' of shape \(2,\) is unexpected"),
        (lambda w: w.update({"out.2.bias": torch.zeros(3)}), r"'out.2.bias' has shape \(3,\), expected \(6,\)"),
        (lambda w: w.update({"out.2.bias": torch.zeros(6).int()}), "'out.2.bias' is torch.int32"),
        (lambda w: w["out.2.weight"].fill_(float("nan")), "NaN"),
    ],
)
def test_wrong_tensor_is_named(change, message, weights, tmp_path):
    weights = {name: tensor.clone() for name, tensor in weights.items()}
    change(weights)
    torch.save(weights, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=f"m.pt: .*{message}"):
        checkpoints.load_model(tmp_path / "m.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"These are not weights.\n" * 99, "is a text file.*These are not weights"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git-lfs"),
        (b"\n<!DOCTYPE html><html>404</html>", "is a web page"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(900), "damaged"),
    ],
)
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_file_that_is_no_checkpoint(content, message, ending, tmp_path):
    path = tmp_path / f"base.{ending}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"base.{ending} {message}|base.{ending} .*{message}"):
        checkpoints.load_model(path)


@pytest.mark.parametrize("keep", [0.01, 0.5, 0.999])
@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy"])
def test_truncated_file_says_so(form, keep, weights, tmp_path):
    path = tmp_path / "cut"
    if form == "safetensors":
        checkpoints.save(weights, SMALL, path)
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=form == "zip")
    os.truncate(path, int(path.stat().st_size * keep))
    with pytest.raises(CheckpointError, match="cut is (truncated or )?damaged"):
        checkpoints.load_model(path)


class Evil:
    def __reduce__(self):
        return os.putenv, ("GLIDE_TEST_EVIL", "1")


def test_code_in_a_checkpoint_is_not_run(weights, tmp_path):
    torch.save({**weights, "evil": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match="more than tensors"):
        checkpoints.load_model(tmp_path / "evil.pt")


def test_dictionary_without_tensors(tmp_path):
    torch.save({"step": 3}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="holds no tensors"):
        checkpoints.load_model(tmp_path / "m.pt")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_weights_are_not_copied_into_memory(tmp_path):
    """Loading costs a small part of the file's 100 MB, as its pages stay on the disk until they are used."""
    config = dataclasses.replace(SMALL, xf_width=512, vocab_size=50_000)
    tensors = {name: torch.zeros(shape) for name, shape in detect.shapes(config).items()}
    checkpoints.save(tensors, config, tmp_path / "m.safetensors")
    torch.save(tensors, tmp_path / "m.pt")
    code = """if True:
        import sys
        from glide_core.files import checkpoints, detect
        from glide_core.models.config import BASE
        def anonymous():  # kB of memory that is no page of a file
            return int(open("/proc/self/status").read().split("RssAnon:")[1].split()[0])
        detect.shapes(BASE)  # imports what torch needs for it
        before = anonymous()
        model = checkpoints.load_model(sys.argv[1])
        print(anonymous() - before)
    """
    for name in ("m.safetensors", "m.pt"):
        run = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / name)], capture_output=True, text=True, check=True
        )
        assert int(run.stdout) < 30_000


# Saving


def test_half_precision_and_notes(weights, tmp_path):
    path = tmp_path / "new" / "m.safetensors"
    checkpoints.save(weights, SMALL, path, dtype=torch.float16, notes={"step": 300})
    state_dict, metadata = reading.read(path)
    assert {tensor.dtype for tensor in state_dict.values()} == {torch.float16}
    assert metadata["step"] == "300" and ModelConfig.from_json(metadata["glide_config"]) == SMALL


def test_the_noise_of_the_training_is_noted(weights, tmp_path):
    assert checkpoints.trained_noise_offset("tiny-base") == (0.15, 0.15)
    path = tmp_path / "m.safetensors"
    for note, expected in (("0.1,0.2", (0.1, 0.2)), ("", ())):
        checkpoints.save(weights, SMALL, path, notes={checkpoints.NOISE_OFFSET_KEY: note})
        assert checkpoints.trained_noise_offset(path) == expected
    checkpoints.save(weights, SMALL, path)
    assert checkpoints.trained_noise_offset(path) == ()
    checkpoints.save(weights, SMALL, path, notes={checkpoints.NOISE_OFFSET_KEY: "much"})
    with pytest.raises(CheckpointError, match="'noise_offset' holds no numbers"):
        checkpoints.trained_noise_offset(path)


def test_saving_over_the_file_of_a_loaded_model_leaves_that_model_alone(saved, weights):
    """Its weights are pages of the old file."""
    model = checkpoints.load_model(saved)
    checkpoints.save({name: -tensor for name, tensor in model.state_dict().items()}, model.config, saved)
    assert_same_weights(model, weights)
    assert_same_weights(checkpoints.load_model(saved), {name: -tensor for name, tensor in weights.items()})


def test_failed_save_leaves_the_old_file(saved, weights, monkeypatch):
    before = saved.read_bytes()

    def disk_full(tensors, path, metadata):
        path.write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", disk_full)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save(weights, SMALL, saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_tensors_that_do_not_belong_to_the_config_are_not_saved(weights, tmp_path):
    with pytest.raises(CheckpointError, match="positional_embedding"):
        checkpoints.save(weights, dataclasses.replace(SMALL, text_ctx=7), tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_saved_file_has_the_usual_permissions(saved):
    (saved.parent / "other").touch()
    assert saved.stat().st_mode == (saved.parent / "other").stat().st_mode
    assert len(load_file(saved)) == len(detect.shapes(SMALL))


# Finding


def test_find(saved, tmp_path):
    assert checkpoints.find(str(saved)) == saved
    with pytest.raises(CheckpointError, match="base_inpaint.pt is not there: .*`glide fetch base-inpaint`"):
        checkpoints.find("base-inpaint")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "base_inpaint.pt").touch()
    assert checkpoints.find("base-inpaint") == tmp_path / "models" / "base_inpaint.pt"
    with pytest.raises(CheckpointError, match="nonsense.pt: no such file.*base, base-inpaint"):
        checkpoints.find("nonsense.pt")


def test_embedded_models_are_found_by_name(saved, monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoints, "TINY_FOLDER", tmp_path)
    assert checkpoints.find("model") == saved


def write_tokenizer(path, size, token="x"):
    """A vocabulary of ``size`` whose token 7 is ``token``."""
    vocab = {token if i == 7 else f"t{i}": i for i in range(size)}
    tokenizers.Tokenizer(models.BPE(vocab, [])).save(str(path))


def test_tokenizer_beside_the_checkpoint(saved, tmp_path, monkeypatch):
    """Its own file first, then the folder's, then the embedded one: each only if it has the right size."""
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    monkeypatch.setattr(checkpoints, "TINY_FOLDER", tiny)
    with pytest.raises(CheckpointError, match="300 tokens .*model.tokenizer.json"):
        checkpoints.tokenizer_for(SMALL, saved)
    for file in (tiny / "tokenizer.json", tmp_path / "tokenizer.json", tmp_path / "model.tokenizer.json"):
        write_tokenizer(file, 300, token=file.parent.name + file.name)
        tokenizer = checkpoints.tokenizer_for(SMALL, saved)
        assert tokenizer.decode([7]) == file.parent.name + file.name
        assert tokenizer.text_ctx == SMALL.text_ctx
    write_tokenizer(tmp_path / "model.tokenizer.json", 299)
    write_tokenizer(tmp_path / "tokenizer.json", 301)
    assert checkpoints.tokenizer_for(SMALL, saved).decode([7]) == "tinytokenizer.json"
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match="tokenizer.json is not a tokenizer.json"):
        checkpoints.tokenizer_for(SMALL, saved)


def test_gpt2_vocabulary_needs_no_file(tmp_path):
    tokenizer = checkpoints.tokenizer_for(BASE, tmp_path / "base.pt")
    assert tokenizer("a corgi").ids[:3] == [64, 1162, 12397] and tokenizer.vocab_size == 50257


def test_gpt2_vocabulary_beside_the_checkpoint(tmp_path):
    (tmp_path / "vocab.bpe").write_text("")
    assert checkpoints.tokenizer_for(BASE, tmp_path / "base.pt")("a corgi").count == 3
    (tmp_path / "encoder.json").write_text("{}")
    with pytest.raises(CheckpointError, match="encoder.json and .*vocab.bpe are not GPT-2's vocabulary"):
        checkpoints.tokenizer_for(BASE, tmp_path / "base.pt")


# Files that were made to do harm


CRAFTED_TENSORS = {
    "expanded": lambda: torch.zeros(1).expand(1_000_000_000_000),
    "strides of nothing": lambda: torch.zeros(1).as_strided((10**6, 10**6), (0, 0)),
    "meta": lambda: torch.empty(10**12, device="meta"),
    "sparse": lambda: torch.sparse_coo_tensor(torch.zeros(1, 0).long(), torch.zeros(0), (10**12,)),
    "compressed sparse": lambda: torch.zeros(3, 3).to_sparse_csr(),
    "nested": lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
    "quantized": lambda: torch.quantize_per_tensor(torch.zeros(6), 0.1, 0, torch.qint8),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", CRAFTED_TENSORS)
def test_tensors_that_are_not_plain_are_refused(kind, zipped, weights, tmp_path):
    try:
        torch.save(
            {**weights, "out.2.bias": CRAFTED_TENSORS[kind]()}, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped
        )
    except NotImplementedError:
        pytest.skip("torch cannot write this")
    with refused_at_once(tmp_path / "m.pt"):
        checkpoints.load_model(tmp_path / "m.pt")


@contextmanager
def refused_at_once(path):
    """A CheckpointError that names the file, within 2 seconds and without much memory."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=path.name):
        yield
    assert time.monotonic() - started < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kB


def many_names(path):
    tensor = torch.zeros(1)
    torch.save({f"name{i}": tensor for i in range(100_000)}, path)


def many_names_of_long_ago(path):
    tensor = torch.zeros(1)
    torch.save({f"name{i}": tensor for i in range(100_000)}, path, _use_new_zipfile_serialization=False)


def zip_bomb(path):
    torch.save({"a": torch.zeros(50_000_000)}, path)
    with zipfile.ZipFile(path) as source:
        records = {record.filename: source.read(record) for record in source.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in records.items():
            archive.writestr(name, content)


def records_that_overlap(path):
    """Many names in the directory for the same bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", pickle.dumps({}))
        archive.writestr("m/data/0", bytes(1_000_000))
        for i in range(1000):
            record = copy.copy(archive.getinfo("m/data/0"))
            record.filename = f"m/data/{i + 1}"
            archive.filelist.append(record)


def long_header(path):
    path.write_bytes((50_000_000).to_bytes(8, "little") + b"{" + b" " * 60_000_000)


def header_beyond_the_file(path):
    path.write_bytes((10**18).to_bytes(8, "little") + b'{"a":' + bytes(100))


def many_tensors_in_a_header(path):
    save_file({f"n{i}": torch.zeros(1) for i in range(25_000)}, path)


def shape_beyond_the_file(path):
    header = json.dumps({"a": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))


def endless_pickle(path):
    path.write_bytes(b"\x80\x02" + b"K\x000" * 5_000_000 + b".")


def zip_of(instructions, path):
    """A file of torch.save whose pickle is ``instructions``."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02" + instructions + b".")
        archive.writestr("m/data/0", bytes(64))
        archive.writestr("m/version", "3\n")


def bytes_of_any_number(path):
    zip_of(b"cbuiltins\nbytearray\n\x8a\x05\x00\x5e\xd0\xb2\x00\x85R", path)


def deep_lists(path):
    zip_of(b"]" * 400_000 + b"a" * 399_999, path)


def code(path):
    zip_of(b"cbuiltins\neval\nU\x031+1\x85R", path)


def code_of_long_ago(path):
    path.write_bytes(b"\x80\x02cbuiltins\neval\nU\x031+1\x85R.\0")


def storage_beyond_the_file(path):
    number = b"\x8a\x05\x00\x5e\xd0\xb2\x00"
    storage = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpu" + number + b"tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + number + b"\x85K\x01\x85\x89"
    zip_of(b"}U\x01a" + tensor + b"ccollections\nOrderedDict\n)RtRs", path)


@pytest.mark.parametrize(
    "make",
    [
        bytes_of_any_number,
        deep_lists,
        code,
        code_of_long_ago,
        storage_beyond_the_file,
        many_names,
        many_names_of_long_ago,
        zip_bomb,
        records_that_overlap,
        long_header,
        header_beyond_the_file,
        many_tensors_in_a_header,
        shape_beyond_the_file,
        endless_pickle,
    ],
)
def test_crafted_files_are_refused_at_once(make, tmp_path):
    path = tmp_path / "crafted.pt"
    make(path)
    with refused_at_once(path):
        checkpoints.load_model(path)


# Integrity


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_flipped_byte_is_refused(weights, tmp_path):
    torch.save(weights, tmp_path / "m.pt")
    flip(tmp_path / "m.pt", (tmp_path / "m.pt").stat().st_size // 2)
    with pytest.raises(CheckpointError, match="m.pt is damaged: 1 of its .* records are not what was saved.*again"):
        checkpoints.load_model(tmp_path / "m.pt")


def test_file_without_checksums_loads(weights, tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(weights, tmp_path / "m.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    assert_same_weights(checkpoints.load_model(tmp_path / "m.pt"), weights)


def test_a_whole_file_is_read_once(tmp_path, monkeypatch):
    """A large file is remembered by its size and time of change, until either differs."""
    monkeypatch.setattr(integrity, "SMALL", 0)
    path = tmp_path / "m.pt"
    torch.save({"a": torch.zeros(100_000)}, path)
    integrity.check_records(path)
    assert json.loads((tmp_path / "models" / "verified.json").read_text()).keys() == {str(path)}
    status = path.stat()
    flip(path, 200_000)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    integrity.check_records(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(CheckpointError, match="damaged"):
        integrity.check_records(path)


@pytest.mark.parametrize("note", ["", "[]", "{", "\0", "[" * 100_000])
def test_damaged_notes_are_written_anew(note, tmp_path, monkeypatch):
    monkeypatch.setattr(integrity, "SMALL", 0)
    torch.save({"a": torch.zeros(3)}, tmp_path / "m.pt")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "verified.json").write_text(note)
    integrity.check_records(tmp_path / "m.pt")
    assert len(json.loads((tmp_path / "models" / "verified.json").read_text())) == 1


def test_leftovers_of_killed_writes_are_removed(saved, weights):
    old, new = saved.with_name(f".{saved.name}.1.tmp"), saved.with_name(f".{saved.name}.2.tmp")
    other = saved.with_name(".other.safetensors.1.tmp")
    for file in (old, new, other):
        file.touch()
    for file in (old, other):
        os.utime(file, (0, 0))
    checkpoints.save(weights, SMALL, saved)
    assert not old.exists() and new.exists() and other.exists()
