"""The host's attention where it has a good one."""

from comfy.ldm.modules.attention import optimized_attention

from ...glide_core.models.unet import sdpa


def attention(q, k, v, heads, **kwargs):
    """The host's choice on a GPU; on a CPU its default is a chunked one that is slower than torch's fused kernel."""
    function = sdpa if q.device.type == "cpu" else optimized_attention
    return function(q, k, v, heads, **kwargs)
