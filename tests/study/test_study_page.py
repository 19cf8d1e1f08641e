"""The page of a study: complete in itself, escaped, described in words, and at work in a browser."""

import html
import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from browser import chromium, missing_browser
from glide_core.cli import main
from glide_core.study import page, plots
from glide_core.study.counting import Count
from glide_core.study.results import Point, SectionResult
from glide_core.study.sections import Section

NASTY = '</script><b>a "red" circle\'s & $x^2$ 水'
SMALL = ["--stage", "base", "--steps", "1"]


class Elements(HTMLParser):
    """All start tags with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def nasty_study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nasty")
    main(["study", "axes", NASTY, "--x", "seed=0", *SMALL, "-o", str(folder)])
    return folder


def read(folder):
    return (folder / "index.html").read_text(encoding="utf-8")


def test_the_page_needs_nothing_from_elsewhere(guidance_study):
    text = read(guidance_study)
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert sources and all(source.startswith(("data:", "#")) or source == "" for source in sources)
    assert not re.findall(r"@import|url\((?!#)|fetch\(|https?://(?!www\.w3\.org/)", text)


def test_every_picture_and_plot_is_described(guidance_study):
    elements = Elements(read(guidance_study))
    shown = [image for image in elements.all("img") if image.get("src")]
    assert len(shown) == 4
    assert shown[0]["alt"] == "a red circle on a blue background, seed 0, 1"
    drawn = elements.all("svg")
    assert len(drawn) == 6 and all(plot["role"] == "img" and "guidance scale" in plot["aria-label"] for plot in drawn)


def test_the_page_says_how_to_reproduce_it(guidance_study):
    text = html.unescape(read(guidance_study))
    assert "glide study guidance 'a red circle on a blue background' --values 1 3 --stage base --steps 2" in text
    assert "SHA-256 of tiny-base" in text and "torch" in text


def test_plots_have_the_colours_of_the_theme(guidance_study):
    text = read(guidance_study)
    assert "currentColor" in text and "var(--line)" in text and "prefers-color-scheme: dark" in text
    assert plots.INK not in text and plots.FAINT not in text


def test_what_users_write_is_escaped(nasty_study):
    text = read(nasty_study)
    assert "<b>a" not in text and text.count("</script>") == 2
    details = re.search(r'id="details">(.*?)</script>', text, re.DOTALL)[1]
    assert [each["prompt"] for each in json.loads(details).values()] == [NASTY]
    images = [image for image in Elements(text).all("img") if image.get("src")]
    assert images[0]["alt"].startswith(NASTY)


def test_very_many_pictures_lie_beside_the_page(guidance_study, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "MOST_EMBEDDED", 3)
    folder = shutil.copytree(guidance_study, tmp_path / "study")
    argv = ["--values", "1", "3", "--seeds", "2", "--stage", "base", "--steps", "2", "-o", str(folder)]
    main(["study", "guidance", "a red circle on a blue background", *argv])
    sources = [image["src"] for image in Elements(read(folder)).all("img") if image.get("src")]
    assert len(sources) == 4 and all((folder / source).is_file() for source in sources)


def result(points, numbers):
    section = Section("a", "A", "", "axis", (), numbers)
    return SectionResult(section, {}, {}, tuple(points), ("clip",))


def point(series, label, value):
    return Point(series, label, 1, {"clip": value}, {"clip": value}, {"clip": value})


def test_dollars_are_no_formula_and_letters_of_all_scripts_stay():
    svg = plots.plot(result([point("$a$ 水", "x_1", 0.1), point("b", "x_1", 0.2)], {}), "clip")
    assert "$a$ 水" in svg and "x_1" in svg


def test_equal_plots_are_equal_bytes():
    points = [point("", "1", 0.1), point("", "2", 0.3)]
    first, second = (plots.plot(result(points, {"1": 1.0, "2": 2.0}), "clip") for _ in range(2))
    assert first == second


def test_values_that_are_close_share_a_tick():
    assert plots._apart([0.9, 0.95, 0.997, 1.0, 1.05]) == [0.9, 0.95, 0.997, 1.05]


def test_a_histogram_says_its_numbers():
    counts = [Count("a", 3, 4, 0.3, 0.95, 0.5, 0.6), Count("b", 1, 4, 0.05, 0.7, 0.5, 0.4)]
    svg = plots.histogram(counts)
    assert "a: 75 %, 95 % interval 30 to 95 %, in the training data 60 %" in svg
    assert "uniform" in svg and "in the training data" in svg


@pytest.mark.skipif(missing_browser() is not None, reason=str(missing_browser()))
def test_in_a_browser(guidance_study):
    """Offline, without an error, no wider than a telephone, and the large view goes by clicks and keys."""
    from playwright.sync_api import sync_playwright

    messages = []
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        context = program.new_context(viewport={"width": 400, "height": 800}, color_scheme="dark", offline=True)
        view = context.new_page()
        view.on("console", lambda message: messages.append(message.text))
        view.on("pageerror", lambda error: messages.append(str(error)))
        view.goto((guidance_study / "index.html").as_uri())
        assert view.evaluate("document.documentElement.scrollWidth") == 400
        assert view.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 19, 22)"
        view.locator(".picture").nth(1).click()
        large = view.locator("dialog img")
        assert large.get_attribute("alt").endswith("seed 0, 3")
        assert view.locator("dialog dd").first.inner_text() == "a red circle on a blue background"
        view.keyboard.press("ArrowRight")
        assert large.get_attribute("alt").endswith("seed 1, 1")
        view.keyboard.press("Escape")
        assert not view.locator("dialog").is_visible()
        program.close()
    assert messages == []
