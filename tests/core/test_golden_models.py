"""The models compute the same function as the reference implementation."""

import numpy as np
import pytest
import torch

from glide_core.models.config import PUBLISHED
from glide_core.models.text2im import Text2Im
from golden import DEVICES, Golden

golden = Golden()
KINDS = list(PUBLISHED)


def close(actual, expected, tolerance=1e-4):
    """Within a part of the largest golden value."""
    worst = np.abs(actual.cpu().detach().numpy() - expected).max() / np.abs(expected).max()
    assert worst < tolerance, f"differs by {worst:.2e} of the largest value"


@pytest.mark.parametrize("kind", KINDS)
def test_names_and_shapes_are_the_published_ones(kind):
    with torch.device("meta"):
        model = Text2Im(PUBLISHED[kind])
    shapes = {name: list(p.shape) for name, p in model.state_dict().items()}
    assert shapes == golden.json("checkpoint_manifests.json")[kind]


def forward(config, prompts, timesteps, device="cpu"):
    model = golden.model(config, device=device)
    batch, size = len(prompts), config.image_size
    tokens, mask = golden.tokens(prompts, config.text_ctx)
    x = golden.draw("x", (batch, 3, size, size))
    conditions = {name: value.to(device) for name, value in golden.conditions(config, batch).items()}
    x, timesteps, tokens, mask = (part.to(device) for part in (x, torch.tensor(timesteps), tokens, mask))
    with torch.no_grad():
        return model(x, timesteps, tokens, mask, **conditions), *model.text(tokens, mask)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
def test_small_models(kind, device, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    config, prompts = golden.small_config(kind), golden.meta["prompts"]["unet_small"]
    out, xf_out, xf_proj = forward(config, prompts, golden.meta["unet_small_timesteps"], device)
    expected = golden.npz("unet_small.npz")
    stride = config.image_size // 32
    close(out[..., ::stride, ::stride], expected[kind])
    close(xf_proj, expected[f"{kind}/xf_proj"])
    close(xf_out.transpose(1, 2)[:, ::4, ::4], expected[f"{kind}/xf_out"])


@pytest.mark.parametrize("kind", KINDS)
def test_full_size_models(kind):
    config = PUBLISHED[kind]
    out, _, _ = forward(config, golden.meta["prompts"]["full"], [golden.meta["full_timestep"]])
    close(out[..., ::8, ::8], golden.npz(f"full_{kind.replace('-', '_')}.npz")["out"])
