"""Do ComfyUI's own samplers obey prompts as GlideSampler does? Starts a real ComfyUI and prints a Markdown table.

    python benchmarks/stock_samplers.py --host ~/.cache/glide-hosts/ComfyUI-0.29.0 --prompts 20

Each picture is judged by `glide_core.tiny.judge`. Ends with 1 if one of the samplers is more than 5 points worse.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

from glide_core.tiny.judge import judge, look  # noqa: E402
from glide_core.tiny.scenes import held_out_scenes, prompt  # noqa: E402
from graphs import BASE, UPSAMPLE, Graph  # noqa: E402
from hosts import Host, find_checkouts  # noqa: E402

SAMPLERS = ("euler", "dpmpp_2m", "ddim")
ALIGNED = "GlideSampler, dpmpp_2m, ays"
OWN = "GlideSampler"
ALLOWED = 0.05


def glide_sampler(graph, model, positive, latent, seed, **options):
    defaults = {"eta": 0.0, "threshold": 0.0, "denoise": 1.0, "guidance_scale": 3.0}
    links = {"model": model, "positive": positive, "latent": latent}
    return graph.node("GlideSampler", 2, **links, **defaults, **options, seed=seed)[0]


def graph_of(method, text, seed, args):
    """The whole cascade; only the base's sampler differs between methods."""
    graph = Graph()
    model, clip, _ = graph.load(args.base)
    positive, latent = graph.text(clip, text), graph.empty()
    if method == OWN:
        latent = glide_sampler(graph, model, positive, latent, seed, steps=args.own_steps, sampler="ddpm")
    elif method.startswith(ALIGNED):
        steps = method.removeprefix("GlideSampler, dpmpp_2m, ")
        latent = glide_sampler(graph, model, positive, latent, seed, steps=steps, sampler="dpmpp_2m")
    else:
        options = {"sampler_name": method, "scheduler": args.scheduler, "steps": args.steps, "seed": seed}
        latent = graph.ksampler(model, positive, graph.text(clip, ""), latent, **options)
    model, clip, _ = graph.load(args.upsampler)
    options = {"steps": "fast27", "sampler": "ddim", "guidance_scale": 1.0, "eta": 0.0, "temperature": 0.997}
    links = {"model": model, "clip": clip, "positive": positive, "latent": latent}
    image = graph.node("GlideUpsampler", 2, **links, **options, seed=seed)[1]
    graph.node("SaveImage", images=image, filename_prefix="bench")
    return graph


def verdicts(host, method, scenes, args):
    """{what was asked: right or wrong, each time}."""
    found = {}
    for seed, scene in enumerate(scenes):
        outputs = host.run(graph_of(method, prompt(scene), seed, args), timeout=1800)
        (entry,) = (entry for output in outputs.values() for entry in output.get("images", []))
        for name, right in judge(look(host.image(entry)), scene).items():
            found.setdefault(name, []).extend(right)
    return found


def shares(found):
    """Right ones among all single verdicts, and the pictures in which everything is right."""
    single = [right for name, rights in found.items() if name != "all" for right in rights]
    return float(np.mean(single)), float(np.mean(found["all"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", type=Path, default=find_checkouts()[-1] if find_checkouts() else None)
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--steps", type=int, default=30, help="of the stock samplers")
    parser.add_argument("--scheduler", default="sgm_uniform")
    parser.add_argument("--own-steps", default="10,10,10,10,20", help="of GlideSampler's ddpm")
    parser.add_argument("--aligned", nargs="*", default=["ays10", "ays20"], help="align-your-steps schedules to try")
    parser.add_argument("--base", default=BASE)
    parser.add_argument("--upsampler", default=UPSAMPLE)
    args = parser.parse_args()
    if args.host is None:
        parser.error("no ComfyUI: give its folder with --host")
    scenes = held_out_scenes(args.prompts)
    methods = [OWN, *SAMPLERS, *(f"GlideSampler, dpmpp_2m, {steps}" for steps in args.aligned)]
    print("| base sampled by | verdicts right | pictures all right | points more |\n| --- | ---: | ---: | ---: |")
    worst, own = 0.0, None
    with Host(args.host) as host:
        for method in methods:
            single, whole = shares(verdicts(host, method, scenes, args))
            own = single if own is None else own
            worst = min(worst, single - own) if method in SAMPLERS else worst
            print(f"| {method} | {single:.3f} | {whole:.3f} | {100 * (single - own):+.1f} |", flush=True)
    sys.exit(int(worst < -ALLOWED))


if __name__ == "__main__":
    main()
