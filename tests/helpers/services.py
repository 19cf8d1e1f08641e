"""Run by a ComfyUI's own Python, in its folder, without a server: what the host does with GLIDE's weights.

python services.py <project> <scratch folder> <check>...; prints one line of JSON, {check: answer}. `run` starts it.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path


def run(checkout, python, folder, *checks):
    """{check: its answer}, from one process."""
    here = Path(__file__).resolve()
    command = [python, str(here), str(here.parents[2]), str(folder), *checks]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    return json.loads(done.stdout.splitlines()[-1])


def pack(project):
    """The node pack, imported as ComfyUI does."""
    location = Path(project) / "__init__.py"
    spec = importlib.util.spec_from_file_location("glide_pack", location, submodule_search_locations=[str(project)])
    module = importlib.util.module_from_spec(spec)
    sys.modules["glide_pack"] = module
    spec.loader.exec_module(module)


class Bench:
    """An embedded base model and one forward of it, always the same."""

    def __init__(self, dtype=None):
        import torch
        from glide_pack.nodes.host.loader import load_checkpoint

        self.torch, self.load = torch, load_checkpoint
        self.model, self.clip, self.vae = load_checkpoint("tiny-base (embedded)", dtype)

    def sample(self, model=None, clip=None):
        """The last three of four steps of euler through the host -> [1, 3, 64, 64]; the first amplifies rounding."""
        from glide_pack.glide_core.pipeline import Sampling
        from glide_pack.nodes.host.sampling import sample_latent

        clip = clip or self.clip
        positive = clip.encode_from_tokens_scheduled(clip.tokenize("a red circle"))
        latent = {"samples": self.torch.full((1, 3, 64, 64), 0.1)}
        options = Sampling("4", "euler", 3.0)
        return sample_latent(model or self.model, positive, None, latent, options, seed=1, denoise=0.7)["samples"]


def far(one, other):
    return float((one.cpu() - other.cpu()).detach().abs().max())


def precision(folder):
    """--fp16-unet and the like: the flags choose the weights' type, the picture stays the same."""
    import torch
    from comfy.cli_args import args

    expected = Bench(torch.float32).sample()
    answer = {}
    for flag in ("fp16_unet", "bf16_unet", "fp8_e4m3fn_unet"):
        setattr(args, flag, True)
        bench = Bench()
        setattr(args, flag, False)
        picture = bench.sample()
        answer[flag] = {
            "dtype": str(bench.model.model.get_dtype()),
            "far": far(picture, expected),
            "finite": bool(picture.isfinite().all()),
        }
    return answer


def lora(folder):
    """A LoRA file through the stock loader does what adding its product to the weights does."""
    import comfy.sd
    import torch

    bench = Bench(torch.float32)
    names = {
        "diffusion_model.input_blocks.1.0.in_layers.2": bench.model.model,
        "diffusion_model.middle_block.1.qkv": bench.model.model,
        "text_encoders.text.transformer.resblocks.0.mlp.c_fc": bench.clip.cond_stage_model,
    }
    state_dict, by_hand = {}, Bench(torch.float32)
    generator = torch.Generator().manual_seed(0)
    for name, owner in names.items():
        module = name.removeprefix("text_encoders.")
        weight = owner.get_submodule(module).weight
        up = 0.1 * torch.randn(weight.shape[0], 2, generator=generator)
        down = 0.1 * torch.randn(2, weight[0].numel(), generator=generator)
        state_dict |= {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down}
        changed = by_hand.model.model if owner is bench.model.model else by_hand.clip.cond_stage_model
        with torch.no_grad():
            changed.get_submodule(module).weight += (up @ down).reshape(weight.shape)
    plain = bench.sample()
    model, clip = comfy.sd.load_lora_for_models(bench.model, bench.clip, state_dict, 1.0, 1.0)
    with_lora = bench.sample(model, clip)
    return {
        "by hand": far(with_lora, by_hand.sample()),
        "changed": far(with_lora, plain),
        "taken out": far(bench.sample(), plain),
    }


def merge(folder):
    """ModelMergeSimple, and a merged checkpoint that GlideLoader reads again.

    ComfyUI patches no weights that lie directly in a module with submodules: the two tables of positions of the text
    transformer stay the first model's.
    """
    import comfy.sd
    import torch
    from comfy_extras.nodes_model_merging import CLIPMergeSimple, ModelMergeSimple
    from safetensors.torch import load_file

    unmerged = ("text.positional_embedding", "text.padding_embedding")
    one, other, middle = (Bench(torch.float32) for _ in range(3))
    with torch.no_grad():
        for owner in ("model", "clip"):
            parts = [b.model.model if owner == "model" else b.clip.cond_stage_model for b in (one, other, middle)]
            for (name, first), (_, second), (_, third) in zip(*(part.named_parameters() for part in parts)):
                second.mul_(1.1)
                third.copy_(first if name in unmerged else (first + second) / 2)
    (model,) = ModelMergeSimple().merge(one.model, other.model, 0.5)
    (clip,) = CLIPMergeSimple().merge(one.clip, other.clip, 0.5)
    merged = one.sample(model, clip)
    path = Path(folder) / "merged.safetensors"
    comfy.sd.save_checkpoint(str(path), model, clip, one.vae, metadata={})
    from glide_pack.glide_core.files import checkpoints

    saved, (known, _) = load_file(path), checkpoints.read_model(checkpoints.find("tiny-base"))
    return {
        "by hand": far(merged, middle.sample()),
        "changed": far(merged, one.sample()),
        "names": sorted(set(saved) ^ set(known)),
        "saved": far(saved["out.2.weight"], middle.model.model.diffusion_model.out[2].weight),
    }


def computing(folder):
    """Weights of every type, and ModelComputeDtype on fp32 weights: how far the picture is from fp32's.

    "partly" is how far one forward is from itself when a quarter of the weights is loaded and the host fetches the
    others as they are needed, with the product of a LoRA added to each.
    """
    import torch
    from comfy_extras.nodes_model_advanced import ModelComputeDtype
    from glide_pack.nodes.schema import DTYPES

    plain = Bench(torch.float32)
    expected, answer = plain.sample(), {}
    for name in ("fp32", "fp16", "bf16", "fp8_e4m3fn"):
        bench = Bench(DTYPES[name])
        answer[name] = {"bytes": bench.model.model_size(), "mean": mean(bench.sample(), expected)}
        answer[name] |= _partly(bench)
    for name in ("fp16", "bf16"):
        patched = ModelComputeDtype().patch(plain.model, name)[0]
        answer[f"ModelComputeDtype {name}"] = {"mean": mean(plain.sample(patched), expected)}
    return answer


def mean(one, other):
    return float((one.cpu() - other.cpu()).abs().mean())


def _partly(bench):
    """One forward with a LoRA: the share that a quarter of the memory loads, and what that and the LoRA change."""
    import comfy.model_management as mm
    import comfy.sd
    import torch

    mm.unload_all_models()
    lora = _lora_file(bench.model.model.diffusion_model)
    model, _ = comfy.sd.load_lora_for_models(bench.model, None, lora, 1.0, 0.0)
    positive = bench.clip.encode_from_tokens_scheduled(bench.clip.tokenize("a red circle"))
    text = {"c_crossattn": positive[0][0], "y": positive[0][1]["pooled_output"]}
    x, sigma = torch.full((1, 3, 64, 64), 0.1), torch.tensor([1.0])
    found, size = [], model.model_size()
    with torch.no_grad():
        for patcher, memory in ((bench.model, 0), (model, 0), (model, size // 4)):
            patcher.patch_model(device_to=patcher.load_device, lowvram_model_memory=memory)
            found.append(patcher.model.apply_model(x, sigma, **text))
            share = patcher.loaded_size() / size
            patcher.detach()
    plain, whole, partly = found
    return {"loaded": share, "partly": far(partly, whole), "lora": far(whole, plain)}


def _lora_file(unet):
    """A LoRA of three layers of the U-Net, as a file has it."""
    import torch

    generator, tensors = torch.Generator().manual_seed(0), {}
    for name in ("input_blocks.1.0.in_layers.2", "middle_block.1.qkv", "time_embed.0"):
        weight = unet.get_submodule(name).weight
        for half, shape in (("up", (weight.shape[0], 2)), ("down", (2, weight[0].numel()))):
            tensors[f"diffusion_model.{name}.lora_{half}.weight"] = 0.3 * torch.randn(shape, generator=generator)
    return tensors


def memory(folder):
    """Partly loaded models paint the same; afterwards nothing stays; three models share one host."""
    import comfy.model_management as mm
    import comfy.model_patcher
    import torch

    bench = Bench(torch.float32)
    whole = bench.sample()
    size = bench.model.model_size()
    answer = {"size": size, "loaded": bench.model.loaded_size()}
    needed = bench.model.memory_required([2, 3, 64, 64])
    mm.unload_all_models()
    answer["after unloading"] = bench.model.loaded_size()
    device = bench.model.load_device
    bench.model.patch_model(device_to=device, lowvram_model_memory=size // 4)
    answer["partly"] = bench.model.loaded_size()
    positive = bench.clip.encode_from_tokens_scheduled(bench.clip.tokenize("a red circle"))
    context, pooled = positive[0][0], positive[0][1]["pooled_output"]
    x, sigma = torch.full((1, 3, 64, 64), 0.1), torch.tensor([1.0])
    partly = bench.model.model.apply_model(x, sigma, c_crossattn=context, y=pooled)
    bench.model.detach()
    answer["left"] = bench.model.loaded_size()
    bench.model.patch_model(device_to=device)
    answer["same"] = far(partly, bench.model.model.apply_model(x, sigma, c_crossattn=context, y=pooled))
    bench.model.detach()
    stranger = comfy.model_patcher.ModelPatcher(torch.nn.Linear(8, 8), device, torch.device("cpu"))
    upsampler, _, _ = bench.load("tiny-upsample (embedded)", torch.float32)
    mm.load_models_gpu([bench.model, upsampler, stranger])
    answer["three"] = len(mm.current_loaded_models)
    answer["three paint"] = far(bench.sample(), whole)
    mm.unload_all_models()
    mm.cleanup_models()
    answer["stay"] = len(mm.current_loaded_models)
    answer["needed"] = needed
    return answer


def compiled(folder):
    """The host's TorchCompileModel; dynamo's own backend, because compiling C++ takes minutes."""
    import torch
    from comfy_extras.nodes_torch_compile import TorchCompileModel

    bench = Bench(torch.float32)
    expected = bench.sample()
    model = TorchCompileModel.execute(bench.model, "eager").result[0]
    return {"far": far(bench.sample(model), expected), "again": far(bench.sample(), expected)}


def schedules(folder):
    """Sigmas of every scheduler of the host, 20 steps, base and upsampler."""
    import comfy.samplers

    bench = Bench()
    upsampler, _, _ = bench.load("tiny-upsample (embedded)", None)
    return {
        kind: {
            name: comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), name, 20).tolist()
            for name in comfy.samplers.SCHEDULER_NAMES
        }
        for kind, model in (("base", bench.model), ("upsample", upsampler))
    }


if __name__ == "__main__":
    project, scratch, *checks = sys.argv[1:]
    sys.argv = [sys.argv[0], *os.environ.get("COMFYUI_ARGS", "--cpu").split()]
    sys.path.remove(str(Path(__file__).resolve().parent))  # its modules are the tests' own
    import comfy.options

    comfy.options.enable_args_parsing()
    import utils.extra_config  # noqa: F401  as main.py does first: a library may bring another `utils`

    pack(project)
    print(json.dumps({check: globals()[check](scratch) for check in checks}))
