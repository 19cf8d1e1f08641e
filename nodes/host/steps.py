"""Steps that cannot end in a picture are refused before they are walked."""

from __future__ import annotations

COARSEST = 4.0  # at this sigma a picture can barely be seen; whoever takes several steps goes on below it


def check_steps(executor, *args, **kwargs):
    """A wrapper of the host's outer_sample(noise, latent_image, sampler, sigmas, ...)."""
    sigmas = args[3].tolist()
    if len(sigmas) > 4 and sigmas[-1] == 0 and sigmas[-2] > COARSEST:
        raise ValueError(
            f"these steps jump from sigma {sigmas[-2]:.3g} to the finished picture: the scheduler linear_quadratic is "
            "not made for models like GLIDE; take sgm_uniform, normal, karras, beta or GlideScheduler"
        )
    return executor(*args, **kwargs)
