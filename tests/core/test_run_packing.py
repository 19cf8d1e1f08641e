"""Weights that are packed for one run: the same pictures, and nothing is kept that could be stale."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from glide_core.models.config import TINY_BASE
from glide_core.models.layers import can_pack
from glide_core.models.run_packing import pack_no_more, packed_for_a_run, packing, weight_bytes
from glide_core.models.unet import UNet

pytestmark = pytest.mark.skipif(not can_pack(torch.float32), reason="this torch or processor cannot pack weights")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@pytest.fixture(params=DTYPES.values(), ids=DTYPES)
def unet(request):
    torch.manual_seed(0)
    model = UNet(TINY_BASE, operations=packing(nn), dtype=request.param).to(memory_format=torch.channels_last)
    return model.eval().requires_grad_(False)


def given(unet):
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 3, 64, 64), (2, TINY_BASE.text_ctx, TINY_BASE.xf_width), (2, 4 * TINY_BASE.num_channels)
    x, text, y = (torch.randn(shape, generator=generator).to(unet.dtype) for shape in shapes)
    return x, torch.full((2,), 500.0), text, y


def packed(unet):
    return [layer for layer in unet.modules() if getattr(layer, "packed", None) is not None]


def difference(found, expected):
    return float((found.float() - expected.float()).abs().max() / expected.float().abs().max())


def test_a_run_computes_the_same(unet):
    expected = unet(*given(unet))
    with packed_for_a_run(unet):
        for _ in range(2):
            found = unet(*given(unet))
        assert bool(packed(unet)) == can_pack(unet.dtype)
    assert not packed(unet)
    assert difference(found, expected) <= (1e-3 if unet.dtype != torch.bfloat16 else 8e-3)


def test_nothing_is_kept_after_an_error(unet):
    with pytest.raises(KeyError), packed_for_a_run(unet):
        unet(*given(unet))
        raise KeyError
    assert not packed(unet)


def grown(unet):
    for layer in unet.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data.mul_(1.25)


def test_what_changes_between_runs_counts(unet):
    with packed_for_a_run(unet):
        before = unet(*given(unet))
    grown(unet)
    expected = unet(*given(unet))
    with packed_for_a_run(unet):
        found = unet(*given(unet))
    assert difference(found, expected) <= 8e-3 and difference(found, before) > 0.01


def test_a_weight_in_the_place_of_another_counts_at_once(unet):
    with packed_for_a_run(unet):
        before = unet(*given(unet))
        layer = unet.out[2]
        layer.weight = nn.Parameter(2 * layer.weight, requires_grad=False)
        assert difference(unet(*given(unet)), before) > 0.1


def test_functions_of_a_layer_count(unet):
    """ComfyUI's layers call them; a layer of torch has none, but is not packed either."""
    unet.out[2].weight_function = [lambda weight: weight]
    with packed_for_a_run(unet):
        unet(*given(unet))
        assert unet.out[2].packed is None


def test_packing_ends_where_the_host_says_so(unet):
    with packed_for_a_run(unet):
        unet(*given(unet))
        pack_no_more(unet)
        grown(unet)
        found = unet(*given(unet))
        assert not packed(unet)
    assert torch.equal(found, unet(*given(unet)))


def test_gradients_flow(unet):
    x, *rest = given(unet)
    with packed_for_a_run(unet):
        unet(x.requires_grad_(), *rest).float().square().sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


def test_the_memory_is_told(unet):
    assert 0 < weight_bytes(unet) < sum(parameter.nbytes for parameter in unet.parameters())
