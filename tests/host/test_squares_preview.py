"""The squares that GlideCrop will cut, drawn over the photo before anything runs."""

import numpy as np
import pytest
import torch
from PIL import Image
from test_download_button import OPEN, post

from glide_core.editing import regions

SIZE = (300, 200)
HOLE = (40, 100, 60, 110)  # left, right, top, bottom
GRAPH = {
    "nodes": [
        {
            "id": 1,
            "type": "LoadImage",
            "pos": [40, 40],
            "size": [280, 320],
            "widgets_values": ["hole.png", "image"],
            "outputs": [
                {"name": "IMAGE", "type": "IMAGE", "links": [1]},
                {"name": "MASK", "type": "MASK", "links": [2]},
            ],
        },
        {
            "id": 2,
            "type": "GlideCrop",
            "pos": [380, 40],
            "size": [360, 300],
            "inputs": [
                {"name": "image", "type": "IMAGE", "link": 1},
                {"name": "mask", "type": "MASK", "link": 2},
            ],
            "widgets_values": [2.0, 256, "whole mask", 0, "area", 0, False, False, 0],
        },
    ],
    "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 1, 1, 2, 1, "MASK"]],
    "version": 0.4,
}
SET = """([name, value]) => {
    const widget = app.graph.nodes.find((node) => node.type === "GlideCrop").widgets.find((each) => each.name === name)
    widget.value = value
    widget.callback?.(value)
}"""


@pytest.fixture
def photo(host):
    """A photo with a transparent hole in the input folder; its mask."""
    pixels = np.full((SIZE[1], SIZE[0], 4), 200, np.uint8)
    left, right, top, bottom = HOLE
    pixels[..., 3] = 255
    pixels[top:bottom, left:right, 3] = 0
    host.upload_image(Image.fromarray(pixels), "hole.png")
    return torch.from_numpy(pixels[..., 3] == 0)[None].float()


def asked(**changes):
    return {"image": "hole.png", "mask": "hole.png", **changes}


def squares_of(answer):
    return [(square["left"], square["top"], square["side"]) for square in answer["squares"]]


@pytest.mark.parametrize("factor", [1, 2.0, 9.5])
def test_the_server_says_what_the_node_will_cut(host, photo, factor):
    status, answer = post(host, "/glide/squares", asked(crop_factor=factor))
    (expected,) = regions.around(photo, factor)
    assert status == 200 and (answer["width"], answer["height"]) == SIZE
    assert squares_of(answer) == [(expected.left, expected.top, expected.side)]
    assert answer["photo"].startswith("data:image/jpeg;base64,")


def test_masks_of_other_files_and_margins(host, photo):
    mask = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    mask[20:60, 200:240, 0] = 255
    mask[150:190, 10:50, 0] = 255
    host.upload_image(Image.fromarray(mask), "red.png")
    red = torch.from_numpy(mask[..., 0] / 255)[None].float()
    _, answer = post(host, "/glide/squares", asked(mask="red.png", channel="red", squares="each region"))
    assert squares_of(answer) == [(one.left, one.top, one.side) for one in regions.around(red, 2.0, True)]
    padded, margins = regions.pad(torch.zeros(1, SIZE[1], SIZE[0], 3), 0, 0, 64, 0)
    _, answer = post(host, "/glide/squares", asked(pad=[0, 0, 64, 0], squares="next square"))
    expected = next(iter(regions.walk(margins, SIZE[1], SIZE[1] // 2)))
    assert answer["width"] == padded.shape[2]
    assert squares_of(answer) == [(expected.left, expected.top, expected.side)]


@pytest.mark.parametrize(
    "changes",
    [
        {"image": "nothing.png"},
        {"image": "../../etc/passwd"},
        {"mask": 3},
        {"crop_factor": "two"},
        {"crop_factor": float("nan")},
        {"pad": [1, 2]},
        {"pad": "left"},
        {"grow": -5, "squares": 3},
    ],
    ids=str,
)
def test_bad_questions(host, photo, changes):
    assert post(host, "/glide/squares", asked(**changes))[0] == 400


@pytest.mark.slow
@pytest.mark.parametrize("vue", [False, True], ids=["classic", "vue"])
def test_the_square_moves_with_the_factor(host, browser, photo, vue):
    page, square = browser.page, browser.page.get_by_test_id("glide-square")
    if not browser.use_vue_nodes(vue):
        pytest.skip("Vue nodes of this frontend show no panels of extensions")
    page.evaluate(OPEN, GRAPH)
    browser.dismiss()

    def shows(factor):
        (one,) = regions.around(photo, factor)
        page.locator(f"rect[x='{one.left}'][y='{one.top}'][width='{one.side}'] >> nth=0").wait_for()
        photo_box, box = page.locator("svg[role=img] image").bounding_box(), square.bounding_box()
        scale = photo_box["width"] / SIZE[0]
        found = [(box["x"] - photo_box["x"]) / scale, (box["y"] - photo_box["y"]) / scale, box["width"] / scale]
        np.testing.assert_allclose(found, [one.left, one.top, one.side], atol=3)
        assert photo_box["height"] > 80

    shows(2.0)
    browser.shot(f"squares-{vue}-1")
    if vue:  # a click on the widget's own button
        page.get_by_test_id("increment").first.click()
        shows(2.1)
    page.evaluate(SET, ["crop_factor", 1.2])
    shows(1.2)
    browser.shot(f"squares-{vue}-2")
    page.evaluate(SET, ["invert_mask", True])
    page.locator("rect[width='300'] >> nth=0").wait_for()
    page.route("**/glide/squares", lambda route: route.abort())
    page.evaluate(SET, ["invert_mask", False])
    square.wait_for(state="detached")
    assert set(browser.prompt()["2"]["inputs"]).isdisjoint({"glide_squares"})
    assert not [error for error in browser.errors if "/extensions/glide-nodes/" in error]


@pytest.mark.slow
def test_several_squares_have_numbers(host, browser):
    """In the order of the squares, which is that of their prompts."""
    page, numbers = browser.page, browser.page.get_by_test_id("glide-number")
    pixels = np.full((SIZE[1], SIZE[0], 4), 255, np.uint8)
    pixels[120:160, 20:70, 3] = pixels[30:60, 200:250, 3] = 0
    host.upload_image(Image.fromarray(pixels), "hole.png")
    page.evaluate(OPEN, GRAPH)
    browser.dismiss()
    page.get_by_test_id("glide-square").wait_for()
    assert numbers.count() == 0
    page.evaluate(SET, ["squares", "each region"])
    numbers.nth(1).wait_for()
    assert numbers.all_text_contents() == ["1", "2"]
    first, second = (numbers.nth(place).bounding_box() for place in range(2))
    assert first["x"] > second["x"] and first["y"] < second["y"]
    browser.shot("squares-numbered")
