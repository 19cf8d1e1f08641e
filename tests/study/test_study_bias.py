"""What the embedded model draws where the prompt leaves it open is what it was trained on."""

import pandas
import pytest

from glide_core.cli import main


@pytest.mark.slow
def test_the_built_in_study_recovers_the_known_frequencies(tmp_path):
    """Of the true frequencies, 95 % lie inside their intervals on average."""
    main(["study", "bias", "-o", str(tmp_path)])
    counts = pandas.read_csv(tmp_path / "counts.csv")
    inside = (counts["low"] <= counts["known"]) & (counts["known"] <= counts["high"])
    assert len(counts) == 20 and counts["of"].min() > 50
    assert inside.mean() >= 0.9, counts[~inside]
