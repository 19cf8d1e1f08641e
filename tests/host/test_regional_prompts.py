"""A prompt for each region of one repainted picture, and the changes that GlideCrop makes to a mask."""

import numpy as np
from PIL import Image
from test_inpainting_nodes import painting

from graphs import INPAINT, PROMPT, Graph, latents, pictures

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
