"""``glide bench speed``: the table, JSON, and the comparison with an earlier run."""

from __future__ import annotations

import json
import math

import pytest
import torch

from glide_core.bench.clock import Clock, Row, losses, table
from glide_core.bench.speed import SpeedRequest, count_flops, measure, relative_difference
from glide_core.choices import SPEED_MEASURES
from glide_core.cli import main
from glide_core.errors import OptionError
from glide_core.models.config import BASE, TINY_BASE

TINY = ["bench", "speed", "--models", "tiny-base", "--repeats", "1", "--dtype", "fp32"]


def row(what="base, forward", ratio=0.5):
    return Row(what, "fp32", ours=10.0, spread=0.1, reference=20.0, ratio=ratio)


@pytest.fixture(autouse=True)
def no_reference(monkeypatch):
    monkeypatch.setattr("glide_core.bench.speed.load_reference", lambda: None)  # wherever it may be on this machine


def test_the_table(capsys):
    main(TINY)
    head, rule, *lines = capsys.readouterr().out.strip().splitlines()[2:]
    assert head.startswith("| what | dtype | ours, ms |") and len(lines) == 1
    cells = [cell.strip() for cell in lines[0].strip("|").split("|")]
    assert cells[:2] == ["tiny-base, forward", "fp32"] and float(cells[2]) > 0
    assert cells[-1] == "0.00%"  # packed and plain layers agree in fp32
    assert len(cells) == head.count("|") - 1 == rule.count("|") - 1


def test_json(capsys):
    main([*TINY, "--json"])
    read = json.loads(capsys.readouterr().out)
    (found,) = read["rows"]
    assert torch.__version__ in read["machine"]
    assert found["what"] == "tiny-base, forward" and found["ratio"] is None and found["gflop"] > 1


@pytest.mark.parametrize("what", [name for name in SPEED_MEASURES if name not in ("forwards", "tiles")])
def test_each_measure_runs(what):
    models = ("tiny-base", "tiny-upsample") if what == "pictures" else ("tiny-base",)
    request = SpeedRequest((what,), models, preset="draft", clock=Clock(1))
    rows = list(measure(request))
    assert rows and all(row.ours > 0 and math.isfinite(row.ours) for row in rows)


def test_flops_are_those_of_the_published_base():
    """112 GMAC a sample, by hand."""
    assert count_flops(BASE, 1) / 2e9 == pytest.approx(112, rel=0.03)
    assert count_flops(TINY_BASE, 2) == 2 * count_flops(TINY_BASE, 1)


def test_a_ratio_is_of_calls_in_turn():
    done = []
    Clock(3).row("x", "fp32", lambda: done.append("ours"), lambda: done.append("theirs"))
    assert done == ["ours", "theirs"] * 4


@pytest.mark.parametrize(("ratio", "lost"), [(0.5, 0), (0.54, 0), (0.56, 1), (0.2, 0)])
def test_losses(ratio, lost):
    earlier = [vars(row())]
    assert len(losses([row(ratio=ratio)], earlier)) == lost


@pytest.mark.parametrize(
    "earlier", [[], [vars(row(what="another"))], [{"what": 1}], [1], [vars(row(ratio=None))]], ids=str
)
def test_nothing_to_compare_with_is_an_error(earlier):
    with pytest.raises(OptionError, match="--against"):
        losses([row()], earlier)


def test_against_a_file_that_is_none(tmp_path, capsys):
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(SystemExit) as ended:
        main([*TINY, "--against", str(tmp_path / "a.json")])
    assert ended.value.code == 2 and "a.json" in capsys.readouterr().err


def test_an_unknown_model_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["bench", "speed", "--models", "huge"])
    assert "huge" in capsys.readouterr().err


def test_a_loss_is_shown_as_a_table_too():
    assert "0.500" in table([row()])


def test_the_error_is_that_of_eps_alone():
    exact = torch.ones(1, 6, 2, 2)
    off = exact.clone()
    off[:, :3] *= 1.02
    off[:, 3:] = 9.0  # the variance does not count
    assert relative_difference(off, exact) == pytest.approx(0.02)
