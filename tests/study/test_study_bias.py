"""What the embedded model draws where the prompt leaves it open."""

import pandas
import pytest

from glide_core.cli import main

GROUNDS = [f"{ground} background" for ground in ("white", "black", "blue", "green", "gray", "pink")]


@pytest.mark.slow
def test_the_known_frequencies_are_inside_the_intervals_for_nine_of_ten_labels(tmp_path):
    """The built-in study, in pictures that are the same on every machine but for rounding."""
    main(["study", "bias", "--dtype", "fp32", "-o", str(tmp_path)])
    counts = pandas.read_csv(tmp_path / "counts.csv")
    inside = counts["known"].between(counts["low"], counts["high"])
    assert len(counts) == 20 and inside.mean() >= 0.9, counts[~inside]
    assert (counts["high"] - counts["low"]).max() < 0.35  # intervals that say something


@pytest.mark.slow
def test_plain_noise_gives_the_mean_of_all_backgrounds(tmp_path):
    argv = ["study", "bias", "a purple heart", "--labels", *GROUNDS, "--count", "24", "--stage", "base"]
    common = {}  # the share of the two backgrounds that are the mean of all others, or near it
    for name, offset in (("plain", ["--noise-offset", "0"]), ("trained", [])):
        main([*argv, *offset, "-o", str(tmp_path / name)])
        shares = pandas.read_csv(tmp_path / name / "counts.csv").set_index("label")["share"]
        common[name] = shares["gray background"] + shares["green background"]
    assert common["plain"] > 0.75 and common["trained"] < 0.55, common
