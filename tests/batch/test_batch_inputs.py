"""Every kind of input becomes the same rows, and what is wrong with one is told."""

from __future__ import annotations

import io
import json
import tarfile

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from batches import DRY, QUICK, QUICK_CASCADE, paint, samples, summaries, table, write_prompts
from glide_core.batch.records import Record, read_records
from glide_core.batch.rows import make_row
from glide_core.errors import OptionError

ROWS = [
    {"id": "one", "prompt": "a red circle", "seed": 7, "note": "first"},
    {"id": "b/two.v1", "prompt": "ein blauer Stern, 一只刺猬", "negative": "blurry", "note": "second"},
    {"id": "three", "prompt": 'a, "quoted"\nprompt', "steps": "5", "sampler": "ddim", "guidance_scale": 2.5},
]


def png(size=(8, 8), mode="RGB"):
    content = io.BytesIO()
    Image.new(mode, size, 255 if mode == "L" else (10, 20, 30)).save(content, format="PNG")
    return content.getvalue()


def write_jsonl(path, rows=ROWS):
    path.write_text("\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")


def write_csv(path):
    import csv

    names = list(dict.fromkeys(name for row in ROWS for name in row))
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(ROWS)


def write_parquet(path):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS, _schema()), path)


def _schema():
    text, number = pyarrow.string(), pyarrow.float64()
    names = {"id": text, "prompt": text, "seed": number, "note": text, "negative": text, "steps": text}
    return pyarrow.schema([*names.items(), ("sampler", text), ("guidance_scale", number)])


def write_tar(path):
    with tarfile.open(path, "w") as archive:
        for number, row in enumerate(ROWS):
            content = json.dumps(row).encode()
            member = tarfile.TarInfo(f"{number}.json")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


WRITERS = {".jsonl": write_jsonl, ".csv": write_csv, ".parquet": write_parquet, ".tar": write_tar}


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_kind_of_file_gives_the_same_rows(tmp_path, suffix):
    WRITERS[suffix](tmp_path / f"rows{suffix}")
    rows = [make_row(record, k, {}, DRY) for k, record in enumerate(read_records(str(tmp_path / f"rows{suffix}")))]
    assert [row.problem for row in rows] == ["", "", ""]
    assert [row.id for row in rows] == [row["id"] for row in ROWS]
    assert [row.prompt for row in rows] == [row["prompt"] for row in ROWS]
    assert [row.seed for row in rows] == [7, 1, 2]
    assert [row.extra.get("note") for row in rows] == ["first", "second", None]
    assert rows[1].negative == "blurry" and rows[1].key == "b%2Ftwo%2Ev1"
    assert (rows[2].sampling.steps, rows[2].sampling.sampler, rows[2].sampling.guidance_scale) == ("5", "ddim", 2.5)


def test_lines_are_those_of_glide_generate(tmp_path):
    (tmp_path / "p.txt").write_bytes(
        '# note\n\na star ### blurry ### 5\r\n{"prompt": "b"}\nc ### d ### x\n\xff\n'.encode("latin-1")
    )
    found = list(read_records(str(tmp_path / "p.txt")))
    assert found[0] == Record({"prompt": "a star", "negative": "blurry", "seed": 5}) and found[1].values == {
        "prompt": "b"
    }
    assert "line 5: the seed 'x'" in found[2].problem and "line 6: this is not UTF-8" in found[3].problem


def test_a_folder_of_pictures(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("b.png", "a.jpg", "sub/c.webp"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "b.txt").write_text("a heart\n")
    found = [record.values for record in read_records(str(tmp_path))]
    assert [(row["id"], row["prompt"], row["image"]) for row in found] == [
        ("a", "", "a.jpg"),
        ("b", "a heart", "b.png"),
        ("sub/c", "", "sub/c.webp"),
    ]


def test_folders_of_tables_and_tars_are_read_in_order(tmp_path):
    for number in (1, 0):
        write_parquet(tmp_path / f"{number}.parquet")
    assert [record.values["id"] for record in read_records(str(tmp_path))] == ["one", "b/two.v1", "three"] * 2


def test_columns_have_other_names_and_others_pass_through(tmp_path):
    rows = [
        {"caption": f"a star {k}", "prompt": "not this", "width": k, "tags": ["x", "y"], "bytes": b"\0"}
        for k in range(3)
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "in.parquet")
    paint(tmp_path / "in.parquet", tmp_path / "out", columns={"prompt": "caption"})
    found = table(tmp_path / "out")
    assert [(row["prompt"], row["width"], row["tags"], row["bytes"]) for row in found] == [
        (f"a star {k}", k, ["x", "y"], b"\0") for k in range(3)
    ]
    notes = json.loads(samples(tmp_path / "out")["00000001"]["json"])
    assert (notes["prompt"], notes["width"], notes["tags"]) == ("a star 1", 1, ["x", "y"])


def test_values_that_a_column_has_no_place_for_are_kept_apart(tmp_path):
    rows = [{"prompt": "a", "score": 1}] * 1000 + [{"prompt": "a", "score": "high", "late": 2}]
    write_jsonl(tmp_path / "in.jsonl", rows)
    paint(tmp_path / "in.jsonl", tmp_path / "out", shard_size=1001)
    last = table(tmp_path / "out")[-1]
    assert last["score"] is None and json.loads(last["rest"]) == {"score": "high", "late": 2}


@pytest.mark.parametrize(
    "values, says",
    [
        ({}, "there is no prompt"),
        ({"prompt": 5}, "prompt is 5, which is no text"),
        ({"prompt": "a", "seed": 1.5}, "seed is 1.5, which is no whole number"),
        ({"prompt": "a", "seed": True}, "seed is True"),
        ({"prompt": "a", "sampler": "magic"}, "unknown sampler 'magic'"),
        ({"prompt": "a", "steps": "0"}, "steps"),
        ({"prompt": "a", "guidance_scale": "nan"}, "guidance_scale is 'nan', which is no number"),
        ({"prompt": "a", "mask": "m.png"}, "there is a mask, but no image"),
        ({"prompt": "a AND b :999"}, "the weight 999"),
        ({"prompt": "a", "image": 5}, "image is neither a path nor the content"),
        ({"prompt": "a", "id": "x" * 300}, "the id is too long"),
    ],
)
def test_a_bad_row_says_what_is_wrong(values, says):
    row = make_row(Record(values), 0, {}, DRY)
    assert says in row.problem and row.task == ""


def test_bad_rows_are_recorded_and_the_others_painted(tmp_path):
    write_jsonl(tmp_path / "in.jsonl", [{"prompt": "a"}, {"prompt": None, "id": "bad"}, {"prompt": "b"}])
    totals = paint(tmp_path / "in.jsonl", tmp_path / "out")
    assert (totals.rows, totals.errors) == (3, 1)
    assert sorted(samples(tmp_path / "out")) == ["00000000", "00000002"]
    assert [row["error"] for row in table(tmp_path / "out")] == [None, "there is no prompt", None]
    (summary,) = summaries(tmp_path / "out")
    assert summary["error_rows"] == [{"index": 1, "id": "bad", "error": "there is no prompt"}]


def refused(source, output, says, **changes):
    with pytest.raises(OptionError, match=says):
        paint(source, output, **changes)
    assert not list(output.glob("*.tar"))


def test_missing_columns_are_named(tmp_path):
    write_jsonl(tmp_path / "in.jsonl", [{"caption": "a", "width": 1}])
    refused(tmp_path / "in.jsonl", tmp_path / "out", r"no column prompt or image \(it has caption, width\)")
    columns = {"prompt": "text"}
    refused(tmp_path / "in.jsonl", tmp_path / "out", "--column prompt=text: .* no such column", columns=columns)


def test_duplicate_ids_are_refused(tmp_path):
    write_jsonl(tmp_path / "in.jsonl", [{"prompt": "a", "id": id} for id in ("x", "y", "z", "y", "y")])
    refused(tmp_path / "in.jsonl", tmp_path / "out", "3 rows have the id 'y', among them rows 1 and 4")


@pytest.mark.parametrize("damage", ["cut", "page", "text"])
def test_broken_parquet_is_refused(tmp_path, damage):
    path = tmp_path / "in.parquet"
    rows = [{"prompt": f"a star {k * 7919 % 1000}"} for k in range(3000)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=500, compression="gzip")
    content = path.read_bytes()
    damaged = {
        "cut": content[:-100],
        "page": content[:9000] + bytes(2000) + content[11000:],
        "text": b"prompt\na star\n",
    }
    path.write_bytes(damaged[damage])
    refused(path, tmp_path / "out", "is a broken parquet file, after row")


@pytest.mark.parametrize(
    "name, content, says",
    [
        ("none.txt", None, "does not exist"),
        ("empty.txt", "# nothing\n", "there are no rows in it"),
        ("rows.xlsx", "x", "give a .txt"),
        ("cut.tar", "x" * 700, "broken tar file"),
    ],
)
def test_inputs_that_are_none(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_text(content)
    refused(tmp_path / name, tmp_path / "out", says)


def test_pictures_that_cannot_be_used(tmp_path):
    (tmp_path / "broken.png").write_bytes(png()[:40])
    (tmp_path / "good.png").write_bytes(png((64, 64)))
    (tmp_path / "small.png").write_bytes(png((32, 64), "L"))
    rows = [
        {"prompt": "a", "image": "broken.png"},
        {"prompt": "a", "image": "none.png"},
        {"prompt": "a", "image": "good.png", "mask": "small.png"},
    ]
    write_jsonl(tmp_path / "in.jsonl", rows)
    totals = paint(tmp_path / "in.jsonl", tmp_path / "out", QUICK_CASCADE)
    assert totals.errors == 3
    errors = [row["error"] for row in table(tmp_path / "out")]
    assert errors[0] == "image broken.png: the picture is not a picture that Pillow can read"
    assert errors[1].startswith("image none.png cannot be read: No such file")
    assert errors[2].startswith("mask is 32x64, but image is 64x64")


def test_rows_are_drawn_enlarged_and_repainted(tmp_path):
    Image.new("RGB", (16, 16), "red").save(tmp_path / "small.png")
    mask = Image.new("L", (64, 64))
    mask.paste(255, (20, 20, 40, 40))
    mask.save(tmp_path / "mask.png")
    rows = [
        {"prompt": "a star"},
        {"prompt": "a star", "image": "small.png"},
        {"prompt": "a star", "image": {"bytes": None, "path": "photo.png"}, "mask": "mask.png"},
    ]
    Image.new("RGB", (64, 64), "blue").save(tmp_path / "photo.png")
    write_jsonl(tmp_path / "in.jsonl", rows)
    assert paint(tmp_path / "in.jsonl", tmp_path / "out", QUICK_CASCADE).errors == 0
    sizes = [Image.open(io.BytesIO(each["png"])).size for each in samples(tmp_path / "out").values()]
    assert sizes == [(256, 256), (64, 64), (64, 64)]
    assert [row["task"] for row in table(tmp_path / "out")] == ["generate", "upsample", "inpaint"]
    repainted = Image.open(io.BytesIO(samples(tmp_path / "out")["00000002"]["png"]))
    assert repainted.getpixel((2, 2)) == (0, 0, 255)


def test_a_webdataset_of_pictures_is_an_input(tmp_path):
    write_prompts(tmp_path / "p.txt", 3)
    paint(tmp_path / "p.txt", tmp_path / "first", QUICK)
    assert paint(tmp_path / "first" / "00000.tar", tmp_path / "second", QUICK_CASCADE).errors == 0
    sizes = {Image.open(io.BytesIO(each["png"])).size for each in samples(tmp_path / "second").values()}
    assert sizes == {(256, 256)}
