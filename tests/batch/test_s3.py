"""An object store in earnest: a server that speaks S3, on this machine."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from batches import QUICK, QUICK_CASCADE, paint, samples, table, write_prompts
from glide_core import cli
from glide_core.batch.records import read_records
from glide_core.batch.storage import Storage

for package in ("s3fs", "moto", "flask"):
    pytest.importorskip(package, reason=f"S3 is not tested: pip install s3fs 'moto[s3]' flask flask-cors ({package})")

ROWS = 6


@pytest.fixture(scope="module")
def server():
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer(port=0)
    running.start()
    yield "http://{}:{}".format(*running.get_host_and_port())
    running.stop()


@pytest.fixture
def bucket(server, monkeypatch):
    """The URL of a folder in a bucket, where nothing is yet."""
    import fsspec

    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    files = fsspec.filesystem("s3", skip_instance_cache=True)
    files.mkdir("pictures")
    yield "s3://pictures/run"
    files.rm("pictures", recursive=True)


@pytest.mark.parametrize("files", [False, True], ids=["shards", "files"])
def test_a_bucket_gets_what_a_folder_gets(bucket, tmp_path, files):
    write_prompts(tmp_path / "p.txt", ROWS)
    paint(tmp_path / "p.txt", tmp_path / "out", QUICK, files=files)
    assert paint(tmp_path / "p.txt", bucket, QUICK, files=files).errors == 0
    for path in (tmp_path / "out").rglob("*"):
        if path.suffix in (".tar", ".parquet", ".png"):
            folder = Storage(f"{bucket}/{path.parent.name}" if path.parent.name != "out" else bucket)
            assert folder.read([path.name])[path.name] == path.read_bytes()


def test_a_run_into_a_bucket_goes_on(bucket, tmp_path):
    write_prompts(tmp_path / "p.txt", ROWS)
    paint(tmp_path / "p.txt", bucket, QUICK)
    store = Storage(bucket)
    whole = store.read(name for name in store.names() if name.endswith((".tar", ".parquet")))
    store.remove("00001.json")  # as if the machine had died before it
    assert paint(tmp_path / "p.txt", bucket, QUICK).rows == ROWS
    assert store.read(whole) == whole


def test_prompts_and_pictures_come_from_a_bucket(bucket, tmp_path):
    store = Storage("s3://pictures/in")
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(picture, "png")
    store.write("small.png", picture.getvalue())
    store.write(
        "rows.jsonl", b'{"prompt": "a red square", "image": "small.png"}\n{"prompt": "a star", "image": "no.png"}\n'
    )
    paint("s3://pictures/in/rows.jsonl", tmp_path / "out", QUICK_CASCADE)
    good, bad = table(tmp_path / "out")
    assert not good["error"] and "no.png" in bad["error"]
    (sample,) = samples(tmp_path / "out").values()
    assert Image.open(io.BytesIO(sample["png"])).size == (256, 256)
    assert len(list(read_records("s3://pictures/in"))) == 1  # the folder of one picture


def test_scores_lie_beside_the_shards(bucket, tmp_path, capsys):
    write_prompts(tmp_path / "p.txt", ROWS)
    paint(tmp_path / "p.txt", bucket, QUICK)
    cli.main(["score", bucket])
    assert len(Storage(f"{bucket}/scores").names()) == 2
    assert "score" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", ["unreachable", "no credentials"])
@pytest.mark.parametrize("argv", [["batch", "p.txt", "-o"], ["score"]], ids=["batch", "score"])
def test_a_store_that_does_not_answer_is_told_in_a_line(bucket, tmp_path, monkeypatch, capsys, wrong, argv):
    write_prompts(tmp_path / "p.txt", ROWS)
    monkeypatch.chdir(tmp_path)
    if wrong == "unreachable":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    else:
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(SystemExit) as end:
        cli.main([*argv, f"{bucket}-{wrong.split()[0]}"])
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert end.value.code == 2 and f"glide {argv[0]}: error: " in error and bucket in error
    assert ("connect" in error) if wrong == "unreachable" else ("credentials" in error)
