"""What the embedded model draws where the prompt leaves it open."""

import pandas
import pytest

from glide_core.cli import main

GROUNDS = [f"{ground} background" for ground in ("white", "black", "blue", "green", "gray", "pink")]


@pytest.mark.slow
def test_the_offset_of_the_noise_brings_the_backgrounds_of_the_training_data(tmp_path):
    argv = ["study", "bias", "a purple heart", "--labels", *GROUNDS, "--count", "24", "--stage", "base"]
    common = {}  # the share of the two backgrounds that are the mean of all others, or near it
    for offset in ("0", "0.15"):
        main([*argv, "--noise-offset", offset, "-o", str(tmp_path / offset)])
        shares = pandas.read_csv(tmp_path / offset / "counts.csv").set_index("label")["share"]
        common[offset] = shares["gray background"] + shares["green background"]
    assert common["0"] > 0.75 and common["0.15"] < 0.55, common
