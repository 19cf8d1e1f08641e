"""The count below a prompt while it is typed: what the server counts, and what the page shows."""

import json
import urllib.error
import urllib.request

import pytest
from test_download_button import OPEN, post

from glide_core.files import checkpoints
from glide_core.models.tokenizer import Tokenizer
from graphs import BASE

LONG = "a red circle " * 40
GRAPH = {
    "nodes": [
        {
            "id": 1,
            "type": "GlideLoader",
            "pos": [40, 40],
            "size": [320, 100],
            "widgets_values": [BASE, "auto"],
            "outputs": [
                {"name": "MODEL", "type": "MODEL", "links": []},
                {"name": "CLIP", "type": "CLIP", "links": [1]},
                {"name": "VAE", "type": "VAE", "links": []},
            ],
        },
        {
            "id": 2,
            "type": "GlideTextEncode",
            "pos": [420, 40],
            "size": [360, 220],
            "inputs": [{"name": "clip", "type": "CLIP", "link": 1}],
            "widgets_values": ["a red circle"],
        },
    ],
    "links": [[1, 1, 1, 2, 0, "CLIP"]],
    "version": 0.4,
}


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_file(checkpoints.TINY_FOLDER / "tokenizer.json", 32)


def test_the_server_counts_as_the_model_does(host, tokenizer):
    for text in ("", "A Red Circle", LONG, "(a red:1.3) circle", "\N{PARTY POPPER} café"):
        plain = "a red circle" if ":" in text else text
        status, told = post(host, "/glide/tokens", {"checkpoint": BASE, "text": text})
        encoded = tokenizer(plain)
        assert status == 200
        assert told["parts"] == [{"count": encoded.count, "limit": 32, "cut": encoded.cut}]
    _, told = post(host, "/glide/tokens", {"checkpoint": "tiny-upsample", "text": "a star AND a heart"})
    assert [part["count"] for part in told["parts"]] == [tokenizer("a star").count, tokenizer("a heart").count]


@pytest.mark.parametrize(
    "body", [{}, [], {"checkpoint": BASE}, {"checkpoint": 1, "text": "a"}, {"checkpoint": "../x.pt", "text": "a"}]
)
def test_what_cannot_be_counted_is_refused(host, body):
    status, _ = post(host, "/glide/tokens", body)
    assert status == 400


def test_a_body_too_long_is_refused_also_in_pieces(host):
    content = json.dumps({"checkpoint": BASE, "text": "a " * 200_000}).encode()
    for body in (content, iter([content])):  # an iterator is sent in pieces, without its length
        request = urllib.request.Request(f"{host.url}/glide/tokens", body, {"Content-Type": "application/json"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)
        assert refused.value.code == 400


@pytest.mark.slow
@pytest.mark.parametrize("vue", [False, True], ids=["classic", "vue"])
def test_the_count_while_typing(host, browser, tokenizer, vue):
    page, counter = browser.page, browser.page.get_by_test_id("glide-tokens")
    if not browser.use_vue_nodes(vue):
        pytest.skip("Vue nodes of this frontend show no panels of extensions")
    page.evaluate(OPEN, GRAPH)
    browser.dismiss()
    counter.get_by_text(f"{tokenizer('a red circle').count} of 32 tokens", exact=True).wait_for()
    browser.shot(f"tokens-{vue}-1-short")

    field = page.locator("textarea").first
    field.click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(LONG)
    counter.get_by_text(f"{tokenizer(LONG).count} of 32 tokens").wait_for()
    assert counter.locator("s").inner_text().strip() == tokenizer(LONG).cut.strip()[:120].strip()
    browser.shot(f"tokens-{vue}-2-cut")

    page.keyboard.press("Control+a")
    page.keyboard.type("a star")
    counter.get_by_text(f"{tokenizer('a star').count} of 32 tokens", exact=True).wait_for()
    assert counter.locator("s").count() == 0

    page.route("**/glide/tokens", lambda route: route.abort())  # the server goes away
    page.keyboard.type(" and more")
    page.wait_for_function("() => !document.querySelector('[data-testid=glide-tokens]').textContent")
    page.unroute("**/glide/tokens")
    page.keyboard.type(" words")
    counter.get_by_text(f"{tokenizer('a star and more words').count} of 32 tokens", exact=True).wait_for()
    prompt = browser.prompt()["2"]["inputs"]
    assert prompt["text"] == "a star and more words" and set(prompt) == {"clip", "text"}
    assert not [error for error in browser.errors if "/extensions/glide-nodes/" in error]
