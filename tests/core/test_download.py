"""Downloads from a real HTTP server on this machine, which misbehaves in the ways that servers and networks do."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import multiprocessing
import os
import random
import signal
import sys
import time
from functools import partial

import pytest
import torch

from glide_core.files import checkpoints, detect, download
from glide_core.files.download import DownloadError, Published, fetch
from glide_core.models.config import PUBLISHED, TINY_BASE
from published_server import PublishedServer

SMALL = dataclasses.replace(TINY_BASE, num_channels=16, xf_width=32, xf_layers=1, channel_mult=(1, 1), vocab_size=300)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "RETRY_DELAY", 0.01)
    with PublishedServer() as server:
        yield server


@pytest.fixture(scope="module")
def weights():
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in detect.shapes(SMALL).items()}


@pytest.fixture(scope="module")
def content(weights, tmp_path_factory) -> bytes:
    return torch_file(weights, tmp_path_factory.mktemp("published"))


def torch_file(weights, folder) -> bytes:
    torch.save(weights, folder / "weights.pt")
    return (folder / "weights.pt").read_bytes()


@pytest.fixture
def get(server, content, tmp_path):
    """Fetch a small model that is served as base.pt into ``tmp_path / "models"``."""
    server.files["/base.pt"] = content
    files = {"base": (Published("base.pt", server.url, partial(detect.shapes, SMALL)),)}
    return partial(fetch, "base", tmp_path / "models", progress=False, files=files)


def names(folder):
    """The files in a folder but for the locks, which stay."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_download_records_the_hash(get, content, weights, tmp_path):
    (path,) = get()
    assert path == tmp_path / "models" / "base.pt" and path.read_bytes() == content
    assert names(path.parent) == ["base.pt", "base.pt.sha256"]
    assert (path.parent / "base.pt.sha256").read_text() == f"{hashlib.sha256(content).hexdigest()}  base.pt\n"
    loaded = checkpoints.load_model(path).state_dict()
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)


def test_second_fetch_checks_and_does_not_download(get, server, tmp_path, capsys):
    get()
    requests = len(server.requests)
    get(progress=True)
    assert len(server.requests) == requests
    assert "base.pt was already there and is unchanged" in capsys.readouterr().err


def test_changed_file_is_noticed(get, content, tmp_path):
    (path,) = get()
    changed = bytearray(content)
    changed[len(content) // 2] ^= 1  # inside a tensor
    path.write_bytes(changed)
    with pytest.raises(DownloadError, match="base.pt is not the published file: .*1 of its 151 records.*Delete it"):
        get()
    assert path.read_bytes() == changed


def test_flipped_byte_is_refused_before_its_hash_is_recorded(get, server, content, tmp_path):
    changed = bytearray(content)
    changed[len(content) // 2] ^= 1
    server.files["/base.pt"] = bytes(changed)
    with pytest.raises(DownloadError, match="base.pt is not the published file: .*1 of its 151 records"):
        get()
    assert names(tmp_path / "models") == []
    server.files["/base.pt"] = content
    assert get()[0].read_bytes() == content


def test_file_put_there_by_hand_is_verified(get, content, server, tmp_path):
    path = tmp_path / "models" / "base.pt"
    path.parent.mkdir()
    path.write_bytes(content[:-100])
    with pytest.raises(DownloadError, match="truncated"):
        get()
    assert names(path.parent) == ["base.pt"]
    path.write_bytes(content)
    get()
    assert names(path.parent) == ["base.pt", "base.pt.sha256"] and server.requests == []


def test_progress_bar(get, capsys):
    get(progress=True)
    err = capsys.readouterr().err
    assert "base.pt: 100%" in err and "is downloaded and verified" in err


@pytest.mark.parametrize("reset", [False, True])
def test_dropped_connection_is_resumed(get, server, content, reset):
    server.reset = reset
    server.stop_after = [len(content) // 2, len(content) // 4]
    (path,) = get()
    assert path.read_bytes() == content
    assert names(path.parent) == ["base.pt", "base.pt.sha256"]
    first, *ranges = server.requests
    assert first is None and len(ranges) == 2 and all(ranges)
    if not reset:  # a reset may lose what was on its way
        assert ranges == [f"bytes={len(content) // 2}-", f"bytes={len(content) // 2 + len(content) // 4}-"]


def test_download_that_broke_goes_on_in_the_next_run(get, server, content, tmp_path):
    server.stop_after = [1000] + [0] * 10
    with pytest.raises(DownloadError, match="ended after 1000 of .*1000 bytes are kept, fetch again to go on"):
        get()
    assert names(tmp_path / "models") == ["base.pt.part", "base.pt.part.etag"]
    assert len(server.requests) == download.ATTEMPTS
    server.stop_after, server.requests = [], []
    (path,) = get()
    assert path.read_bytes() == content and server.requests == ["bytes=1000-"]


def test_attempts_go_on_as_long_as_bytes_arrive(get, server, content):
    server.stop_after = [100] * 10
    assert get()[0].read_bytes() == content
    assert len(server.requests) == 11


def test_server_without_ranges_starts_again(get, server, content):
    server.ranges = False
    server.stop_after = [1000, 2000]
    assert get()[0].read_bytes() == content
    assert server.requests == [None, "bytes=1000-", "bytes=2000-"]


def test_server_that_always_sends_too_little(get, server, tmp_path):
    server.ranges = False
    server.stop_after = [1000] * 10
    with pytest.raises(DownloadError, match="the connection ended after 1000 of"):
        get()
    assert len(server.requests) == download.ATTEMPTS
    assert not (tmp_path / "models" / "base.pt").exists()


@pytest.mark.parametrize("if_range", [True, False])
def test_file_that_changed_between_attempts_is_not_glued(get, server, content, weights, if_range, tmp_path):
    """Both the server that honours If-Range and the one that ignores it."""
    server.if_range = if_range
    server.stop_after = [len(content) // 2] + [0] * download.ATTEMPTS
    with pytest.raises(DownloadError):
        get()
    server.stop_after = []
    changed = torch_file({name: -tensor for name, tensor in weights.items()}, tmp_path)
    assert len(changed) == len(content)
    server.files["/base.pt"] = changed
    assert get()[0].read_bytes() == changed


def test_server_that_names_no_version_is_never_resumed(get, server, content):
    server.etag = False
    server.stop_after = [1000]
    assert get()[0].read_bytes() == content
    assert server.requests == [None, None]


def test_complete_part_only_needs_its_name(get, server, content, tmp_path):
    """The last run was killed after the last byte."""
    (path,) = get()
    path.rename(tmp_path / "models" / "base.pt.part")
    (tmp_path / "models" / "base.pt.part.etag").write_text(f'"{hashlib.md5(content).hexdigest()}"')
    assert get()[0].read_bytes() == content
    assert server.requests == [None, f"bytes={len(content)}-"]


def test_part_longer_than_the_file_starts_again(get, server, content, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "base.pt.part").write_bytes(content + b"more")
    (tmp_path / "models" / "base.pt.part.etag").write_text(f'"{hashlib.md5(content).hexdigest()}"')
    assert get()[0].read_bytes() == content
    assert server.requests == [f"bytes={len(content) + 4}-", None]


def test_not_found_is_not_tried_again(get, server):
    del server.files["/base.pt"]
    with pytest.raises(DownloadError, match="base.pt: the server answered 404"):
        get()
    assert len(server.requests) == 1


def test_busy_server_is_tried_again(get, server, content):
    server.status = [503, 429]
    assert get()[0].read_bytes() == content
    assert len(server.requests) == 3


def test_login_page_does_not_cost_the_bytes_already_there(get, server, content, tmp_path):
    server.stop_after = [1000] + [0] * download.ATTEMPTS
    with pytest.raises(DownloadError):
        get()
    server.files["/base.pt"], server.content_type, server.stop_after = b"<html>Log in</html>", "text/html", []
    with pytest.raises(DownloadError, match="answered with a web page"):
        get()
    assert (tmp_path / "models" / "base.pt.part").read_bytes() == content[:1000]


def without_one_tensor(weights):
    return {name: tensor for name, tensor in weights.items() if name != "out.2.bias"}


def of_another_model(weights):
    return {name: torch.zeros(shape) for name, shape in detect.shapes(dataclasses.replace(SMALL, inpaint=True)).items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_one_tensor, "tensor 'out.2.bias' is missing"),
        (of_another_model, r"'input_blocks.0.0.weight' has shape \(16, 7, 3, 3\), expected \(16, 3, 3, 3\)"),
        (None, "is a web page"),
    ],
)
def test_wrong_file_is_refused(get, server, weights, tmp_path, change, message):
    server.files["/base.pt"] = torch_file(change(weights), tmp_path) if change else b"<html>Not here</html>"
    with pytest.raises(DownloadError, match=f"base.pt is not the published file: .*{message}"):
        get()
    assert names(tmp_path / "models") == []


def test_other_weights_than_once_recorded_are_refused(get, server, weights, tmp_path):
    """The names and shapes are right, but it is not the file that was verified before."""
    (path,) = get()
    path.unlink()
    server.files["/base.pt"] = torch_file({name: -tensor for name, tensor in weights.items()}, tmp_path)
    with pytest.raises(DownloadError, match="not the one recorded in .*base.pt.sha256"):
        get()
    assert not path.exists()


def test_fixed_hash(server, tmp_path):
    server.files["/vocab.bpe"] = b"the right one"
    spec = Published("vocab.bpe", server.url, sha256=hashlib.sha256(b"the right one").hexdigest())
    server.files["/vocab.bpe"] = b"the wrong one"
    with pytest.raises(DownloadError, match="its SHA-256 is .*, expected"):
        fetch("vocab", tmp_path, progress=False, files={"vocab": (spec,)})
    server.files["/vocab.bpe"] = b"the right one"
    assert fetch("vocab", tmp_path, progress=False, files={"vocab": (spec,)}) == [tmp_path / "vocab.bpe"]


def test_vocabulary_from_a_mirror(server, gpt2_files, tmp_path, monkeypatch):
    """The real table with the real files: what is fetched is what the tokenizer of a published model finds."""
    monkeypatch.setenv("GLIDE_MODELS", str(tmp_path / "new" / "models"))
    server.files = {f"/{file.name}": file.read_bytes() for file in gpt2_files}
    paths = fetch("vocab", base_url=server.url + "/", progress=False)
    assert [path.read_bytes() for path in paths] == [file.read_bytes() for file in gpt2_files]
    tokenizer = checkpoints.tokenizer_for(PUBLISHED["base"], tmp_path / "base.pt")
    assert tokenizer("an oil painting of a corgi").count == 7


def test_the_table_is_that_of_the_manifests(golden_dir):
    manifests = json.loads((golden_dir / "checkpoint_manifests.json").read_text())
    assert {name.replace("/", "-") for name in manifests} | {"vocab"} == set(download.FILES)
    for name, tensors in manifests.items():
        (file,) = download.FILES[name.replace("/", "-")]
        assert file.filename == name.replace("/", "_").replace("-", "_") + ".pt"
        assert file.shapes() == {tensor: tuple(shape) for tensor, shape in tensors.items()}


def test_no_server(get, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError, match="no connection .*refused"):
        get()


def test_full_disk(get, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "base.pt.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match="cannot write to .*models: No space left on device"):
        get()


def test_too_little_space_is_said_before_the_download(get, monkeypatch, tmp_path):
    usage = download.shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DownloadError, match="only 10 are free"):
        get()


def test_folder_that_cannot_be_made(get, tmp_path):
    (tmp_path / "models").write_text("a file")
    with pytest.raises(DownloadError, match="cannot write to .*models: File exists"):
        get()


def test_unknown_name(tmp_path):
    with pytest.raises(DownloadError, match=r"'bass' \(known: base, .*upsample-inpaint, clip-image-enc.*vocab\)"):
        fetch("bass", tmp_path)


# Several processes, and processes that are killed


@pytest.fixture
def start(get):
    """Start a fetch in a process of its own."""
    if sys.platform == "win32":
        pytest.skip("needs fork")
    processes = []

    def start_process(**options):
        process = multiprocessing.get_context("fork").Process(target=get, kwargs=options)
        process.start()
        processes.append(process)
        return process

    yield start_process
    for process in processes:
        process.kill()
        process.join()


def test_second_fetch_of_the_same_file_waits(start, server, content, tmp_path, capfd):
    server.slow = len(content) // 50
    first, second = start(progress=True), start(progress=True)
    first.join(60)
    second.join(60)
    assert (first.exitcode, second.exitcode) == (0, 0)
    assert server.requests == [None]
    assert (tmp_path / "models" / "base.pt").read_bytes() == content
    err = capfd.readouterr().err
    assert "base.pt is being fetched by another process: waiting for it" in err
    assert "is downloaded and verified" in err and "was already there" in err


def test_lock_of_a_killed_process_is_free(start, get, server, content):
    server.slow = 1000
    process = start()
    while not server.requests:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    server.slow = 0
    assert get()[0].read_bytes() == content


@pytest.mark.parametrize("moment", [*range(6), *(pytest.param(i, marks=pytest.mark.nightly) for i in range(6, 50))])
def test_killed_at_any_moment(start, get, server, content, tmp_path, moment):
    """What a killed run leaves is never a wrong file, and the next run goes on with it."""
    server.slow = len(content) // 20
    process = start()
    time.sleep(random.Random(moment).uniform(0.02, 0.5))
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    path = tmp_path / "models" / "base.pt"
    assert not path.exists() or path.read_bytes() == content
    server.slow = 0
    assert get()[0].read_bytes() == content
    assert names(path.parent) == ["base.pt", "base.pt.sha256"]
    checkpoints.load_model(path)


@pytest.mark.parametrize("etag", [b"", b"\xff\xfe", b'"a"\r\nX: y', b'"\0"', "\u2603".encode(), b'"other"'])
def test_damaged_note_of_the_version_starts_again(get, server, content, tmp_path, etag):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "base.pt.part").write_bytes(b"x" * 1000)
    (tmp_path / "models" / "base.pt.part.etag").write_bytes(etag)
    assert get()[0].read_bytes() == content
    assert names(tmp_path / "models") == ["base.pt", "base.pt.sha256"]


@pytest.mark.parametrize("record", [b"", b"\xff", b"3f2a", b"<html>"])
def test_damaged_record_of_the_hash_is_written_again(get, content, tmp_path, record):
    get()
    (tmp_path / "models" / "base.pt.sha256").write_bytes(record)
    get()
    digest = hashlib.sha256(content).hexdigest()
    assert (tmp_path / "models" / "base.pt.sha256").read_text() == f"{digest}  base.pt\n"


def test_leftovers_of_a_run_that_was_killed_after_the_rename(get, tmp_path):
    get()
    for name in ("base.pt.part", "base.pt.part.etag"):
        (tmp_path / "models" / name).touch()
    get()
    assert names(tmp_path / "models") == ["base.pt", "base.pt.sha256"]


# Servers that answer nonsense


@pytest.mark.parametrize("length", ["-1", "many", "1e9", "12, 12"])
def test_length_that_is_no_number(get, server, length):
    server.length = length
    with pytest.raises(DownloadError, match=f"base.pt: the server gives its length as '{length}', which is no number"):
        get()


def test_circle_of_redirections(get, server):
    server.redirect = "/base.pt"
    with pytest.raises(DownloadError, match="base.pt: the server answered 302 .*infinite loop") as error:
        get()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("mirror", ["localhost", "file:///tmp", "ftp://localhost", ""])
def test_address_that_is_none(get, mirror):
    with pytest.raises(DownloadError, match="the address must begin with http:// or https://"):
        get(base_url=mirror or "/")


class Stop(Exception):
    pass


def test_a_function_is_told_the_progress(get, content):
    told = []
    get(progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (len(content), len(content))
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_a_function_ends_the_download_and_the_next_goes_on(get, server, content, tmp_path):
    server.slow = len(content) // 50

    def stop_at_half(done, total):
        if done > total / 2:
            raise Stop

    with pytest.raises(Stop):
        get(progress=stop_at_half)
    assert (tmp_path / "models" / "base.pt.part").stat().st_size > len(content) / 2
    assert not (tmp_path / "models" / "base.pt").exists()
    assert get()[0].read_bytes() == content
    assert server.requests[0] is None and server.requests[1].startswith("bytes=")


@pytest.mark.parametrize("name", download.CHECKPOINTS)
def test_told_sizes_are_those_of_the_tensors(name):
    numbers = sum(math.prod(shape) for shape in download.CHECKPOINTS[name]().values())
    assert download.GIGABYTES[name] == round(4 * numbers / 1e9, 1)
