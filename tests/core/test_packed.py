"""Weights that are kept in oneDNN's order: the same pictures, no more memory, and no change of a weight is missed."""

from __future__ import annotations

import copy

import pytest
import torch

from glide_core.files import checkpoints
from glide_core.models import layers
from glide_core.models.layers import can_pack
from glide_core.pipeline import Stage
from glide_core.train import lora

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 8e-3, torch.float16: 1e-3}  # bf16: one rounding is 4e-3
# Layers 1x1 and 3x3, and numbers of channels that are no multiples of oneDNN's blocks.
SHAPES = [(64, 48, 3), (6, 32, 3), (32, 3, 3), (40, 24, 1), (32, 64, 1)]

needs_packing = pytest.mark.skipif(not can_pack(torch.float32), reason="this torch or processor cannot pack weights")


def packed_layers(module):
    """The layers that are packed at the moment; children() looks at no weight."""
    found = [module] if getattr(module, "packed", None) is not None else []
    return found + [layer for child in module.children() for layer in packed_layers(child)]


def relative(found, expected):
    return float((found.float() - expected.float()).abs().max() / expected.float().abs().max())


def inputs(config, dtype, batch=2):
    generator = torch.Generator().manual_seed(0)

    def noise(*shape):
        return torch.randn(*shape, generator=generator).to(dtype)

    x = noise(batch, config.in_channels, 64, 64)
    text = noise(batch, config.text_ctx, config.xf_width), noise(batch, 4 * config.num_channels)
    return x, torch.full((batch,), 500.0), *text


@pytest.fixture
def pair(request):
    """A model of which the weights are packed, and the same one plain; both have run once."""
    name, dtype = request.param
    stage = Stage.load(name, dtype=dtype)
    plain = checkpoints.load_model(name, dtype=dtype)
    with torch.no_grad():
        stage.model.unet(*inputs(plain.config, dtype))
    return stage.model, plain


every_model = pytest.mark.parametrize(
    "pair",
    [(name, dtype) for name in ("tiny-base", "tiny-upsample-inpaint") for dtype in DTYPES.values()],
    indirect=True,
    ids=[f"{name}-{dtype}" for name in ("base", "upsample-inpaint") for dtype in DTYPES],
)


@needs_packing
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize(("out", "into", "size"), SHAPES)
def test_a_layer_computes_the_same(out, into, size, dtype):
    if not can_pack(dtype):
        pytest.skip("not in this precision")
    layer = layers.Conv2d(into, out, size, padding=size // 2, dtype=dtype)
    torch.nn.init.normal_(layer.weight, std=0.1)
    torch.nn.init.normal_(layer.bias)
    plain = copy.deepcopy(layer)
    layers.keep_packed(torch.nn.Sequential(layer))
    with torch.no_grad():
        for shape in ((1, into, 16, 16), (3, into, 24, 8)):  # the second in another size than it was packed for
            x = torch.randn(shape, dtype=dtype).contiguous(memory_format=torch.channels_last)
            assert relative(layer(x), plain(x)) <= 1e-3
        assert layer.packed is not None
    assert torch.equal(layer.weight, plain.weight)


@every_model
@pytest.mark.parametrize("batch", [1, 2])
def test_a_model_computes_the_same(pair, batch):
    packed, plain = pair
    given = inputs(plain.config, plain.unet.dtype, batch)
    with torch.no_grad():
        found, expected = packed.unet(*given), plain.unet(*given)
    assert bool(packed_layers(packed.unet)) == can_pack(plain.unet.dtype)
    assert relative(found, expected) <= TOLERANCE[plain.unet.dtype]


@every_model
def test_texts_keys_can_be_computed_ahead(pair):
    _, plain = pair
    x, timesteps, text, y = inputs(plain.config, plain.unet.dtype)
    with torch.no_grad():
        ahead = plain.unet(x, timesteps, plain.unet.text_keys(text), y)
        assert torch.equal(ahead, plain.unet(x, timesteps, text, y))


@needs_packing
def test_a_weight_is_there_once():
    """Packed weights replace the plain ones."""
    unet = Stage.load("tiny-base").model.unet
    with torch.no_grad():
        unet(*inputs(unet.config, torch.float32))
    assert len(packed_layers(unet)) > 20
    assert all("weight" not in layer._parameters for layer in packed_layers(unet))


# Each of these makes weights larger by a quarter, or adds to them.
def grown_in_place(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.25)


def grown_data(model):
    for parameter in model.parameters():
        parameter.data.mul_(1.25)


def grown_through_the_state_dict(model):
    for tensor in model.state_dict().values():
        tensor.mul_(1.25)


def loaded(model):
    model.load_state_dict({name: 1.25 * tensor for name, tensor in model.state_dict().items()})


def assigned(model):
    model.load_state_dict({name: 1.25 * tensor for name, tensor in model.state_dict().items()}, assign=True)


def one_layer(model):
    layer = model.unet.input_blocks[1][0].in_layers[2]
    layer.weight = torch.nn.Parameter(1.25 * layer.weight, requires_grad=False)


def with_lora(model):
    model.requires_grad_(True)
    torch.manual_seed(0)
    lora.add(model, rank=2)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and name.endswith("up"):
            torch.nn.init.normal_(parameter, std=0.1)


CHANGES = [
    grown_in_place,
    grown_data,
    grown_through_the_state_dict,
    loaded,
    assigned,
    one_layer,
    with_lora,
]


@every_model
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_no_change_is_missed(pair, change):
    given = inputs(pair[1].config, pair[1].unet.dtype)
    with torch.no_grad():
        before = pair[0].unet(*given)
        for model in pair:
            change(model)
        found, expected = (model.unet(*given) for model in pair)
    assert relative(found, expected) <= TOLERANCE[pair[1].unet.dtype]
    assert not torch.equal(found, before)


@every_model
def test_another_dtype(pair):
    dtype = torch.float32 if pair[1].unet.dtype == torch.float16 else torch.float16
    given = inputs(pair[1].config, dtype)
    with torch.no_grad():
        found, expected = (model.to(dtype).unet(*given) for model in pair)
    assert found.dtype == dtype and relative(found, expected) <= TOLERANCE[dtype]


@needs_packing
def test_who_holds_a_weight_may_change_it_after_the_next_run():
    stage = Stage.load("tiny-base")
    unet, given = stage.model.unet, inputs(stage.model.config, torch.float32)
    with torch.no_grad():
        unet(*given)
        held = unet.out[2].weight
        before = unet(*given)
        held.zero_()
        assert not torch.equal(unet(*given), before)


@needs_packing
def test_gradients_are_those_of_a_plain_model():
    stage, plain = Stage.load("tiny-base"), checkpoints.load_model("tiny-base")
    gradients = []
    for unet in (stage.model.unet, plain.unet):
        x, *rest = inputs(plain.config, torch.float32)
        with torch.no_grad():
            unet(x, *rest)
        x.requires_grad_()
        unet(x, *rest).square().sum().backward()
        gradients.append(x.grad)
    assert relative(*gradients) <= 1e-4


@every_model
def test_a_copy_is_a_copy(pair):
    given = inputs(pair[1].config, pair[1].unet.dtype)
    with torch.no_grad():
        copied = copy.deepcopy(pair[0])
        grown_in_place(pair[0])
        assert relative(copied.unet(*given), pair[1].unet(*given)) <= TOLERANCE[pair[1].unet.dtype]
