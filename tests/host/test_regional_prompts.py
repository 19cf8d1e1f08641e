"""A prompt for each region: of one repainted picture, and of a photo with a square for each. And the changes that
GlideCrop makes to a mask."""

import numpy as np
import pytest
from PIL import Image
from test_inpainting_nodes import painting

from graphs import INPAINT, PROMPT, Graph, failure, finished_latents, latents, pictures

OTHER = "a yellow star on a green background"
ROUNDING = 2e-3  # other batches round otherwise


class Regions(Graph):
    """Repaints with one step, so that each pixel shows the prompt whose mask it is in."""

    def __init__(self, host, side, hole):
        super().__init__()
        self.side = side
        self.model, clip, _ = self.load(INPAINT)
        self.first, self.second = (self.text(clip, text) for text in (PROMPT, OTHER))
        picture = Image.fromarray(painting(side))
        self.image = self.node("LoadImage", 2, image=host.upload_image(picture, f"regions-{side}.png"))[0]
        self.hole = self.rectangle(*hole)

    def rectangle(self, left, top, width, height):
        black = self.node("SolidMask", value=0.0, width=self.side, height=self.side)
        white = self.node("SolidMask", value=1.0, width=width, height=height)
        return self.node("MaskComposite", destination=black, source=white, x=left, y=top, operation="add")

    def halves(self, border):
        """The first prompt to the left of the border, the second to the right."""
        parts = [
            self.node("ConditioningSetMask", conditioning=prompt, mask=mask, strength=1.0, set_cond_area="default")
            for prompt, mask in (
                (self.first, self.rectangle(0, 0, border, self.side)),
                (self.second, self.rectangle(border, 0, self.side - border, self.side)),
            )
        ]
        return self.node("ConditioningCombine", conditioning_1=parts[0], conditioning_2=parts[1])

    def paint(self, positive, **fit):
        options = {"seed": 1, "steps": "1", "sampler": "euler", "guidance_scale": 3.0, "eta": 0.0}
        links = {"model": self.model, "positive": positive, "image": self.image, "mask": self.hole}
        self.save(self.node("GlideInpaint", 2, **links, **options, hide_until=0.0, denoise=1.0, **fit)[0])


def test_a_prompt_for_each_half_of_the_hole(host):
    graph = Regions(host, 64, hole=(8, 8, 48, 48))
    for positive in (graph.first, graph.second, graph.halves(32)):
        graph.paint(positive)
    first, second, both = latents(host, graph)
    assert (both[..., :32] - first[..., :32]).abs().max() < ROUNDING
    assert (both[..., 32:] - second[..., 32:]).abs().max() < ROUNDING
    assert (first - second)[..., :32].abs().max() > 0.05 < (first - second)[..., 32:].abs().max()


def test_their_masks_are_cut_with_the_photo(host):
    """The square around the hole is 80 of 128 pixels, so that the border at 30 comes to 24 of 64."""
    graph = Regions(host, 128, hole=(10, 10, 40, 40))
    for positive in (graph.first, graph.second, graph.halves(30)):
        graph.paint(positive, fit="crop around mask")
    first, second, both = latents(host, graph)
    assert (both[..., :23] - first[..., :23]).abs().max() < ROUNDING
    assert (both[..., 25:] - second[..., 25:]).abs().max() < ROUNDING
    assert (first - second)[..., 15:23].abs().max() > 0.02


def crop_mask(host, **changes):
    """The mask of a crop of 64 pixels, 0..255, for a ring that is drawn around rows and columns 24 to 40."""
    graph = Regions(host, 64, hole=(20, 20, 24, 24))
    inner = graph.rectangle(24, 24, 16, 16)
    ring = graph.node("MaskComposite", destination=graph.hole, source=inner, x=0, y=0, operation="subtract")
    options = {"crop_factor": 10.0, "size": 64, "squares": "whole mask", "grow": 0, "interpolation": "area"}
    links = {"image": graph.image, "mask": ring, "square_side": 0}
    mask = graph.node("GlideCrop", 3, **links, **options, **changes)[1]
    graph.node("SaveImage", images=graph.node("MaskToImage", mask=mask), filename_prefix="mask")
    return pictures(host, graph)[0][..., 0]


def test_changes_of_a_mask(host):
    ring = np.zeros((64, 64), int)
    ring[20:44, 20:44], ring[24:40, 24:40] = 255, 0
    assert np.array_equal(crop_mask(host), ring)
    assert np.array_equal(crop_mask(host, invert_mask=True), 255 - ring)
    filled = crop_mask(host, fill_holes=True)
    assert filled[20:44, 20:44].min() == 255 and filled.sum() == 255 * 24 * 24
    blurred = crop_mask(host, fill_holes=True, blur=4)
    assert blurred[32, 32] == 255 and 0 < blurred[32, 18] < blurred[32, 22] < 255 and blurred[32, 14] == 0


PHOTO = 192
HOLES = [(110, 20, 40, 40), (20, 70, 48, 48)]  # left, top, width, height; the first one begins higher
SAMPLING = {"steps": "1", "sampler": "euler", "guidance_scale": 3.0, "eta": 0.0}
HARD = {"blend": "hard", "feather": 0, "match_colours": False}


class SeveralSquares(Regions):
    """A photo with two holes: GlideCrop cuts a square for each, and GlideInpaint repaints both at once."""

    def __init__(self, host, holes=HOLES):
        super().__init__(host, PHOTO, holes[0])
        self.masks = [self.hole, *(self.rectangle(*hole) for hole in holes[1:])]

    def prompts(self, *texts):
        return self.node("GlidePrompts", 6, text="\n".join(texts), clip=[self.model[0], 1])[3]

    def mask(self, one):
        """Both holes in one mask, or as a batch of two."""
        if one:
            parts = {"destination": self.masks[0], "source": self.masks[1]}
            return self.node("MaskComposite", **parts, x=0, y=0, operation="add")
        first, second = (self.node("MaskToImage", mask=mask) for mask in self.masks)
        both = self.node("ImageBatch", image1=first, image2=second)
        return self.node("ImageToMask", image=both, channel="red")

    def cut(self, one, crop_factor=2.0):
        options = {"crop_factor": crop_factor, "size": 64, "grow": 0, "interpolation": "area", "square_side": 0}
        return self.node("GlideCrop", 3, image=self.image, mask=self.mask(one), squares="each region", **options)

    def repaint(self, positive, crop, mask):
        links = {"model": self.model, "positive": positive, "image": crop, "mask": mask}
        return self.node("GlideInpaint", 2, **links, **SAMPLING, seed=1, hide_until=0.0, denoise=1.0)


@pytest.mark.parametrize("one", [True, False], ids=["one mask", "a mask each"])
def test_a_prompt_for_each_square(host, one):
    """Each is painted as its prompt alone would have it, and put back where it was."""
    graph = SeveralSquares(host)
    crop, mask, regions = graph.cut(one)
    both = graph.prompts(PROMPT, OTHER)
    for positive in (both, graph.first, graph.second):
        latent, painted = graph.repaint(positive, crop, mask)
        graph.save(latent)
        if positive is both:
            stitched = graph.node("GlideStitch", 2, crop=painted, regions=regions, **HARD)[0]
            graph.node("SaveImage", images=stitched, filename_prefix="squares")
    outputs = host.run(graph)
    own, first, second = finished_latents(host, graph, outputs)
    assert (own[0] - first[0]).abs().max() < ROUNDING and (own[1] - second[1]).abs().max() < ROUNDING
    assert (first - second).abs().amax(dim=(1, 2, 3)).min() > 0.05
    (picture,) = (host.image(entry).astype(int) for entry in outputs[graph.number("SaveImage")]["images"])
    differs = (np.abs(picture - painting(PHOTO)) > 1).any(axis=-1)
    for left, top, width, height in HOLES:
        hole = np.s_[top : top + height, left : left + width]
        assert differs[hole].mean() > 0.5
        differs[hole] = False
    assert not differs.any()


def test_as_many_prompts_as_squares(host):
    graph = SeveralSquares(host)
    crop, mask, _ = graph.cut(one=True)
    graph.save(graph.repaint(graph.prompts(PROMPT, OTHER, PROMPT), crop, mask)[0])
    assert "GlideInpaint: positive holds 3 prompts for 2 pictures" in failure(host, graph)
