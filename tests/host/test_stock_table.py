"""Every stock node that takes a MODEL and gives one, and what it does to GLIDE: the table of the help page, measured.

A node changes the picture as it says, leaves it alone for a reason, or is refused by its name before the first step. A
host with a node that is not in this table fails the test, so that nothing is silently without effect.
"""

import runpy

import pytest
import torch
from safetensors.torch import save_file

from glide_core.files import checkpoints
from graphs import Graph, failure, latents
from hosts import PROJECT
from stock import defaults, far, small_lora

REFUSED_BY_NAME = runpy.run_path(str(PROJECT / "nodes" / "host" / "refused.py"))["REFUSED"]
# Windows of 32 rows that do not see each other.
BLIND = {"context_length": 32, "context_overlap": 16, "dim": 2, "causal_window_fix": False}

# Node -> the inputs with which its effect is measured, where the defaults have none.
EFFECT = {
    "APG": {},
    "CFGNorm": {},
    "CFGOverride": {},
    "CFGZeroStar": {},
    "ContextWindowsManual": BLIND,
    "Epsilon Scaling": {},
    "FreSca": {},
    "FreeU": {},
    "FreeU_V2": {},
    "LatentApplyOperationCFG": {},
    "LoraLoader": {},
    "LoraLoaderBypass": {},
    "LoraLoaderBypassModelOnly": {},
    "LoraLoaderModelOnly": {},
    "Mahiro": {},
    "ModelComputeDtype": {"dtype": "bf16"},
    "ModelMergeAdd": {},
    "ModelMergeBlocks": {"middle": 0.0},
    "ModelMergeSD1": {"middle_block.1.": 0.0},
    "ModelMergeSD2": {"out.": 0.0},
    "ModelMergeSDXL": {"time_embed.": 0.5},
    "ModelMergeSimple": {"ratio": 0.5},
    "ModelMergeSubtract": {},
    "PatchModelAddDownscale": {"block_number": 1},
    "PerpNeg": {},
    "PerturbedAttentionGuidance": {},
    "RenormCFG": {},
    "RescaleCFG": {},
    "SelfAttentionGuidance": {},
    "TCFG": {},
    "TemporalScoreRescaling": {},
    "VideoLinearCFGGuidance": {},
    "VideoTriangleCFGGuidance": {},
}
IDENTITY = {
    "MultiGPU_WorkUnits": "there is only one device",
    "SelectModelDevice": "its default is the device that the MODEL is on",
    "wanBlockSwap": "the host itself made it do nothing, for every model",
}
# Node -> what the message has beside the name of the node.
REFUSED = {name: reason[:60] for name, reason in REFUSED_BY_NAME.items()} | {
    "FluxKVCache": "patches attn1_patch, post_input",
    "HiDreamO1PatchSeamSmoothing": "HiDream-O1 has: take the node out",
    "HyperTile": "patches attn1_patch, attn1_output_patch",
    "HypernetworkLoader": "patches attn1_patch",
    "ModelNoiseScale": "cannot scale the noise",
    "ModelSamplingAuraFlow": "replaced the noise schedule",
    "ModelSamplingContinuousEDM": "replaced the noise schedule",
    "ModelSamplingContinuousV": "replaced the noise schedule",
    "ModelSamplingDiscrete": "replaced the noise schedule",
    "ModelSamplingFlux": "replaced the noise schedule",
    "ModelSamplingLTXV": "replaced the noise schedule",
    "ModelSamplingSD3": "replaced the noise schedule",
    "ModelSamplingStableCascade": "replaced the noise schedule",
    "NAGuidance": "patches attn1_output_patch",
    "TomePatchModel": "patches attn1_patch, attn1_output_patch",
    "TripoSplatSamplingPreview": "previews 3D models",
}
ELSEWHERE = {  # node -> the test that measures it
    "DifferentialDiffusion": "test_differential_diffusion_softens_a_mask",
    "EasyCache": "test_caches_save_steps",
    "LazyCache": "test_caches_save_steps",
    "LoraModelLoader": "test_training_in_comfyui",
    "TrainLoraNode": "test_training_in_comfyui",
    "TorchCompileModel": "test_torch_compile",
}
OF_OTHER_MODELS = {"MODEL_PATCH", "AUDIO_VAE", "AUDIO_ENCODER_OUTPUT", "AUDIO"}  # no graph of GLIDE's nodes has these


def inputs_of(info):
    return {name: spec[0] for part in ("required", "optional") for name, spec in info["input"].get(part, {}).items()}


def is_stock_patch(info):
    ours = info["python_module"].startswith("custom_nodes")
    return not ours and "MODEL" in inputs_of(info).values() and "MODEL" in info["output"]


@pytest.fixture(scope="module")
def infos(host):
    """The host's nodes, when it has the files that the loaders among them need."""
    weights, config = checkpoints.read_model(checkpoints.find("tiny-base"))
    generator = torch.Generator().manual_seed(0)
    noisy = {name: w * (1 + 0.3 * torch.randn(w.shape, generator=generator)).to(w) for name, w in weights.items()}
    layer = {"linear.weight": torch.eye(8), "linear.bias": torch.zeros(8)}
    models = host.base / "models"
    for folder in ("glide", "loras", "hypernetworks"):
        (models / folder).mkdir(parents=True, exist_ok=True)
    checkpoints.save(noisy, config, models / "glide" / "other.safetensors")
    (models / "glide" / "tokenizer.json").write_bytes((checkpoints.TINY_FOLDER / "tokenizer.json").read_bytes())
    save_file(small_lora(), models / "loras" / "small.safetensors")
    torch.save({8: (layer, layer)}, models / "hypernetworks" / "small.pt")
    return host.object_info()


class Patching(Graph):
    """One model, and others that came from it through a node."""

    def __init__(self, infos):
        super().__init__()
        self.infos = infos
        self.model, self.clip, self.vae = self.load()
        self.other = self.load("other.safetensors")[0]
        self.positive, self.negative, self.canvas = self.text(self.clip), self.text(self.clip, ""), self.empty()

    def patched(self, name, **changes):
        """The MODEL that a stock node gives: with its defaults, these changes, and a link for each other input."""
        info = self.infos[name]
        made = {
            "MODEL": lambda: self.model,
            "CLIP": lambda: self.clip,
            "VAE": lambda: self.vae,
            "LATENT": lambda: self.canvas,
            "CONDITIONING": lambda: self.text(self.clip, "a blue square"),
            "IMAGE": lambda: self.node("EmptyImage", width=64, height=64, batch_size=1, color=0x2040C0),
            "LATENT_OPERATION": lambda: self.node("LatentOperationSharpen", sharpen_radius=9, sigma=1.0, alpha=0.5),
        }
        links = {input_name: made[kind]() for input_name, kind in inputs_of(info).items() if str(kind) in made}
        if "model2" in links:
            links["model2"] = self.other
        changes = {name: value for name, value in changes.items() if name in inputs_of(info)}  # older hosts have fewer
        output = self.node(name, **{**defaults(info), **links, **changes})
        return [output[0], info["output"].index("MODEL")]

    def paint(self, model, latent=None, **changes):
        options = {"steps": 3, "cfg": 8.0} | changes
        self.save(self.ksampler(model, self.positive, self.negative, latent or self.canvas, **options))


def test_every_stock_node_is_in_the_table(infos):
    table = EFFECT.keys() | IDENTITY.keys() | REFUSED.keys() | ELSEWHERE.keys()
    assert len(table) == len(EFFECT) + len(IDENTITY) + len(REFUSED) + len(ELSEWHERE)
    patches = {name for name, info in infos.items() if is_stock_patch(info)}
    assert patches - table == set()
    assert len(patches) > 60


def test_the_tests_elsewhere_exist():
    sources = [path.read_text(encoding="utf-8") for path in (PROJECT / "tests" / "host").glob("test_*.py")]
    assert [test for test in ELSEWHERE.values() if not any(f"def {test}(" in source for source in sources)] == []


def test_each_has_its_effect_or_none_for_a_reason(infos, host):
    graph = Patching(infos)
    names = [name for name in [*EFFECT, *IDENTITY] if name in infos]
    graph.paint(graph.model)
    for name in names:
        graph.paint(graph.patched(name, **EFFECT.get(name, {})))
    plain, *pictures = latents(host, graph)
    wrong = {}
    for name, picture in zip(names, pictures):
        assert picture.isfinite().all() and picture.abs().max() <= 1 + 1e-5, name
        if (far(picture, plain) > 0.005) != (name in EFFECT):
            wrong[name] = far(picture, plain)
    assert wrong == {}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_it_is_refused_by_name(name, infos, host):
    if name not in infos:
        pytest.skip(f"this ComfyUI has no {name}")
    info = infos[name]
    if not OF_OTHER_MODELS.isdisjoint(map(str, inputs_of(info).values())):
        assert name in REFUSED_BY_NAME  # told from the graph, should another model's files ever be connected
        return
    graph = Patching(infos)
    graph.paint(graph.patched(name), steps=1)
    message = failure(host, graph)
    assert name in message and REFUSED[name] in message and "take the node out" in message
    assert "ValueError" in message


def test_differential_diffusion_softens_a_mask(infos, host):
    graph = Patching(infos)
    blue = graph.node("EmptyImage", width=64, height=64, batch_size=1, color=0x2040C0)
    photo = graph.node("VAEEncode", pixels=blue, vae=graph.vae)
    mask = graph.node("SolidMask", value=0.5, width=64, height=64)
    masked = graph.node("SetLatentNoiseMask", samples=photo, mask=mask)
    for model in (graph.model, graph.patched("DifferentialDiffusion")):
        graph.paint(model, masked, steps=6)
    plain, softened = latents(host, graph)
    assert far(softened, plain) > 0.05 and softened.abs().max() <= 1 + 1e-5


def test_windows_of_a_length_that_does_not_fit_are_told(infos, host):
    graph = Patching(infos)
    graph.paint(graph.patched("ContextWindowsManual", **BLIND | {"context_length": 30}), steps=1)
    message = failure(host, graph)
    assert "ContextWindowsManual" in message and "multiples of 8" in message


def test_an_upsampler_refuses_other_schedules_too(infos, host):
    """The stock node can make an upsampler's schedule, but not what keeps snow out of its strongest noise."""
    graph = Graph()
    model, clip, _ = graph.load("tiny-upsample (embedded)")
    small = graph.node("EmptyImage", width=16, height=16, batch_size=1, color=0x4080C0)
    text = graph.text(clip)
    conditioned = graph.node("GlideUpsampleConditioning", 3, clip=clip, positive=text, negative=text, image=small)
    stock = graph.node("ModelSamplingDiscrete", model=model, sampling="eps", zsnr=False)
    graph.save(graph.ksampler(stock, *conditioned, steps=1, cfg=1.0))
    assert "ModelSamplingDiscrete replaced the noise schedule of a GLIDE upsample model" in failure(host, graph)


def test_a_refused_node_on_another_branch_does_no_harm(infos, host):
    """Only the way of the MODEL counts: not another MODEL of the graph, and not the way of the picture."""
    graph = Patching(infos)
    graph.patched("ScaleROPE" if "ScaleROPE" in infos else "UNetSelfAttentionMultiply")
    graph.paint(graph.model, steps=1)
    assert len(latents(host, graph)) == 1
