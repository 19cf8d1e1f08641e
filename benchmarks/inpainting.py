"""How well inpainting obeys, and how well it joins: on drawn scenes, with a judge that knows them.

    python benchmarks/inpainting.py [--count 100] [--hide-until 0,1,0.4] [--photo] [--crop 2] ...

A hole is cut around one object of a held-out scene (256x256), and the prompt asks for another object there. A hit is an
object of the asked colour and shape in the hole; the first row is what the judge says of true renderings. With --photo
scenes are as a camera sees them: in uneven, coloured light, a little out of focus, with grain; the models never saw
such surroundings. With --crop the models paint in a square around the hole, as `glide inpaint` cuts it, and the prompt
is about that: the object and the background. The colour step is the mean difference of neighbours across the mask's
border, in 1/255, of the same repainted crops put back hard and with Poisson blending; the original picture's is given
for comparison.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from glide_core.contact_sheet import write_sheet  # noqa: E402
from glide_core.diffusion.inpainting import REPAINT_PASSES  # noqa: E402
from glide_core.editing.blending import Blend  # noqa: E402
from glide_core.editing.photo import Editor  # noqa: E402
from glide_core.editing.regions import Region, around, stitch  # noqa: E402
from glide_core.pipeline import UPSAMPLING, Sampling, Stage  # noqa: E402
from glide_core.tiny.judge import look  # noqa: E402
from glide_core.tiny.scenes import COLOURS, SHAPES, SIDE, Object, Scene, held_out_scenes, prompt, render  # noqa: E402

MARGIN = 6  # pixels of background around the object that is cut out


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--count", type=int, default=100, help="default: %(default)s")
    add("--hide-until", default="0,1", help="shares of the steps, as of `glide inpaint` (default: %(default)s)")
    add(
        "--repaint-passes",
        type=int,
        default=REPAINT_PASSES,
        help="where hidden, as of `glide inpaint` (default: %(default)s)",
    )
    add("--photo", action="store_true", help="the scenes as a camera sees them")
    add(
        "--crop",
        type=float,
        metavar="FACTOR",
        help="paint in a square so many times the hole; 2 is what `glide inpaint` does (default: in the whole picture)",
    )
    add("--base", default="tiny-base-inpaint")
    add("--upsampler", default="tiny-upsample-inpaint")
    add("--steps", default="30")
    add("--sampler", default="ddpm")
    add("--guidance-scale", type=float, default=3.0)
    add("--upsample-steps", default="15")
    add("--sheet", type=Path, metavar="PNG", help="also write the pictures of the first value as a sheet")
    return parser.parse_args()


def target(scene: Scene, rng: np.random.Generator) -> tuple[Scene, Object]:
    """The scene with another colour and shape in the place of one object that has its place for itself."""
    old = scene.objects[0]
    colours = [c for c in COLOURS if c != scene.background and c != old.colour]
    colour, shape = str(rng.choice(colours)), str(rng.choice([s for s in SHAPES if s != old.shape]))
    new = dataclasses.replace(old, colour=colour, rgb=COLOURS[colour], shape=shape, style="flat")
    return dataclasses.replace(scene, objects=(new, *scene.objects[1:])), new


def hole_around(item: Object) -> Tensor:
    """bool [256, 256], a square."""
    own = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    reach = 1.4 * item.radius + MARGIN
    (left, top), (right, bottom) = (
        tuple(int(np.clip(round(c + sign * reach), 0, SIDE)) for c in item.centre) for sign in (-1, 1)
    )
    own[top:bottom, left:right] = True
    return own


def photographed(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8 [256, 256, 3] as a camera sees it."""
    light = cv2.resize(rng.uniform(0.7, 1.1, (3, 3)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)[..., None]
    seen = cv2.GaussianBlur(picture / 255, (0, 0), 1.2) * light * rng.uniform(0.9, 1.1, 3)
    return (255 * (seen + rng.normal(0, 0.03, seen.shape)).clip(0, 1)).round().astype(np.uint8)


def alone(picture: np.ndarray, own: Tensor) -> np.ndarray:
    """What is in the hole, without its grain, on the colour of the hole's edge: the judge wants an even ground."""
    hole = own.numpy()
    edge = hole & (cv2.erode(hole.astype(np.uint8), np.ones((9, 9)), borderValue=1) == 0)
    ground = np.median(picture[edge], axis=0).astype(np.uint8)
    return np.where(hole[..., None], cv2.medianBlur(picture, 5), ground)


def colour_step(picture: Tensor, own: Tensor) -> float:
    """Mean difference in 1/255 of neighbours across the border of own; picture [256, 256, 3] in 0..1."""
    steps = []
    for axis in (0, 1):
        length = picture.shape[axis] - 1
        across = own.narrow(axis, 1, length) != own.narrow(axis, 0, length)
        steps.append((picture.narrow(axis, 1, length) - picture.narrow(axis, 0, length)).abs().mean(-1)[across])
    return 255 * float(torch.cat(steps).mean())


class Case:
    """A held-out scene's picture [256, 256, 3], the hole in it, what is asked for, and where it is painted.

    Args:
        k: number of the case; photo, crop: as the command's options.
    """

    def __init__(self, scene: Scene, k: int, photo: bool, crop: float | None):
        wanted_scene, self.wanted = target(scene, np.random.default_rng(k))
        self.own, self.photo = hole_around(self.wanted), photo
        if crop:
            (self.region,) = around(self.own[None].float(), crop)
            medium = dataclasses.replace(self.wanted, size="medium")  # its size in the square is the model's choice
            self.prompt = prompt(dataclasses.replace(scene, objects=(medium,), relation=None))
        else:
            self.region, self.prompt = Region(0, 0, 0, SIDE, self.own.float()), prompt(wanted_scene)
        pictures = [render(scene), render(wanted_scene)]
        if photo:
            pictures = [photographed(picture, np.random.default_rng(k)) for picture in pictures]
        self.picture, self.truth = pictures

    def hit(self, picture: np.ndarray) -> bool:
        """Whether the judge sees the wanted colour and shape in the hole."""
        objects = look(alone(picture, self.own) if self.photo else picture).objects
        inside = [seen for seen in objects if self.own[int(seen.centre[1]), int(seen.centre[0])]]
        return any(seen.colour == self.wanted.colour and seen.shape == self.wanted.shape for seen in inside)


def measure(editor: Editor, cases: list[Case]) -> tuple[list[bool], np.ndarray, list[np.ndarray]]:
    """Hits, colour steps [N, 3] (original, hard, Poisson) and pictures."""
    hits, steps, pictures = [], [], []
    for k, case in enumerate(cases):
        image = torch.from_numpy(case.picture)[None].float() / 255
        crop = editor(case.prompt, image, case.own[None].float(), case.region, seed=k)
        hard, poisson = (stitch(image, [case.region], crop, blend=Blend(how)) for how in ("hard", "poisson"))
        picture = (hard[0] * 255).round().byte().numpy()
        hits.append(case.hit(picture))
        steps.append([colour_step(part[0], case.own) for part in (image, hard, poisson)])
        pictures.append(picture)
        print(f"\r{k + 1} of {len(cases)}, {sum(hits)} hits", end="", file=sys.stderr)
    print(file=sys.stderr)
    return hits, np.array(steps), pictures


def main() -> None:
    args = parse()
    base, upsampler = Stage.load(args.base), Stage.load(args.upsampler)
    scenes = [scene for scene in held_out_scenes(3 * args.count) if scene.relation != "inside"][: args.count]
    cases = [Case(scene, k, args.photo, args.crop) for k, scene in enumerate(scenes)]
    print("| hide_until | object in the hole % | colour step: original | hard | Poisson |")
    print("| --- | ---: | ---: | ---: | ---: |")
    print(f"| (true renderings) | {100 * np.mean([case.hit(case.truth) for case in cases]):.1f} | | | |")
    for share in args.hide_until.split(","):
        editor = Editor(
            base,
            upsampler,
            Sampling(args.steps, args.sampler, args.guidance_scale),
            dataclasses.replace(UPSAMPLING, steps=args.upsample_steps),
            hide_until=float(share),
            repaint_passes=args.repaint_passes,
        )
        hits, steps, pictures = measure(editor, cases)
        print(f"| {share} | {100 * np.mean(hits):.1f} |", " | ".join(f"{value:.2f}" for value in steps.mean(0)), "|")
        if args.sheet:
            images = [Image.fromarray(picture) for picture in pictures]
            write_sheet(args.sheet, images, [case.prompt for case in cases], columns=8)
            args.sheet = None


if __name__ == "__main__":
    main()
