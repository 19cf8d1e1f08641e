"""The command's own part: its log, its options, and packages that are not there."""

from __future__ import annotations

import json
import sys

import pytest

from batches import paint, samples, table, write_prompts
from glide_core import cli
from glide_core.batch.local import inline
from glide_core.batch.packages import need
from glide_core.errors import MissingPackageError


def fails(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["batch", *map(str, arguments)])
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("package, extra", [("pyarrow", "batch"), ("webdataset", "batch"), ("ray", "ray")])
def test_a_missing_package_is_named_with_its_extra(monkeypatch, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=rf'need the package {package}: pip install "glide-nodes\[{extra}\]"'):
        need(package, extra)


def test_without_the_extra_the_command_says_so(tmp_path, monkeypatch, capsys):
    write_prompts(tmp_path / "p.txt", 1)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    message = fails(capsys, tmp_path / "p.txt", "-o", tmp_path / "out", "--workers", 0, "--dry-run")
    assert 'pip install "glide-nodes[batch]"' in message and not (tmp_path / "out").exists()


def test_the_log_has_a_line_for_each_event(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"prompt": "a"}\n' * 5 + '{"prompt": 1}\n')
    arguments = [tmp_path / "in.jsonl", "-o", tmp_path / "out", "--workers", 0, "--dry-run", "--shard-size", 4]
    cli.main(["batch", *map(str, arguments), "--json-log", str(tmp_path / "log")])
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["start", "shard", "shard", "end"]
    assert (lines[-1]["rows"], lines[-1]["of"], lines[-1]["errors"], lines[-1]["complete"]) == (6, 6, 1, True)
    assert lines[1]["shard"] == 0 and lines[2]["shard_errors"] == 1


@pytest.mark.parametrize(
    "options, says",
    [
        (["--shard-index", 2, "--shard-count", 2], "--shard-index is 2: with --shard-count 2 it is 0 to 1"),
        (["--column", "caption=prompt"], "is not NAME=COLUMN"),
        (["--address", "auto"], "--address is for --engine ray"),
        (["--max-errors", "-1"], "is not a whole number"),
        (["--checkpoint", "none.pt", "--stage", "base"], "none.pt: no such file"),
        (["--upsampler", "tiny-base", "--checkpoint", "tiny-upsample"], "--base tiny-upsample"),
    ],
)
def test_options_that_do_not_fit_are_told(tmp_path, capsys, options, says):
    write_prompts(tmp_path / "p.txt", 1)
    assert says in fails(capsys, tmp_path / "p.txt", "-o", tmp_path / "out", "--workers", 0, *options)


def test_prompts_are_encoded_once_and_by_themselves(tmp_path):
    import torch

    from glide_core.batch.painter import PromptCache
    from glide_core.pipeline import Stage

    cached, plain = PromptCache.load("tiny-base"), Stage.load("tiny-base")
    calls = []
    hook = cached.model.text.register_forward_hook(lambda model, inputs, output: calls.append(len(inputs[0])))
    many = cached.encode(["a star", "", "a star", ""])
    cached.encode(["", "a star"])
    hook.remove()
    assert calls == [1, 1]
    for found, text in zip(many.xf_out, ["a star", "", "a star", ""]):
        assert torch.equal(found, plain.encode([text]).xf_out[0])


def test_a_run_can_end_between_any_two_of_its_writes(tmp_path):
    """The tar file, the table and the .json come in this order; whatever is missing, the shard is written again."""
    write_prompts(tmp_path / "p.txt", 4)
    paint(tmp_path / "p.txt", tmp_path / "whole")
    for missing in (["00000.json"], ["00000.json", "00000.parquet"], ["00000.json", "00000.parquet", "00000.tar"]):
        out = tmp_path / missing[-1]
        paint(tmp_path / "p.txt", out)
        for name in missing:
            (out / name).unlink()
        paint(tmp_path / "p.txt", out, engine=inline)
        assert samples(out) == samples(tmp_path / "whole") and table(out) == table(tmp_path / "whole")
