"""Real ComfyUI servers for tests: find the checkouts, start one, talk to it over HTTP."""

import base64
import io
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from urllib.parse import quote, urlencode

import numpy as np
from PIL import Image

PROJECT = Path(__file__).resolve().parents[2]
HOSTS = Path("~/.cache/glide-hosts").expanduser()
PACK = "glide-nodes"
START_SECONDS = float(os.environ.get("GLIDE_START_SECONDS", 180))  # more where others use the machine
RUN_SECONDS = float(os.environ.get("GLIDE_RUN_SECONDS", 300))
ARGS = os.environ.get("COMFYUI_ARGS", "--cpu").split()  # COMFYUI_ARGS="" tests on the GPU


def find_checkouts():
    """COMFYUI_PATH if it is set, else every checkout under ~/.cache/glide-hosts, oldest version first."""
    chosen = os.environ.get("COMFYUI_PATH")
    if chosen:
        return [Path(chosen).expanduser().resolve()]
    return sorted((main.parent for main in HOSTS.glob("*/main.py")), key=version_key)


def version(checkout):
    text = (checkout / "comfyui_version.py").read_text()
    return re.search(r'__version__ = "(.+)"', text).group(1)


def version_key(checkout):
    return [int(number) for number in re.findall(r"\d+", version(checkout))]


def python_of(checkout):
    own = checkout / ".venv" / "bin" / "python"
    return os.environ.get("COMFYUI_PYTHON") or (str(own) if own.exists() else sys.executable)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# A custom node that changes what the pack downloads, once every pack is loaded. The pack itself has no such setting.
PUBLISHED_ELSEWHERE = """
import sys
from functools import partial
from server import PromptServer

NODE_CLASS_MAPPINGS = {}

async def patch(app):
    (download,) = (module for name, module in sys.modules.items() if name.endswith("glide_core.files.download"))
    core = download.__name__.removesuffix(".files.download")
    tiny = sys.modules[core + ".models.config"].TINY_BASE
    shapes = partial(sys.modules[core + ".files.detect"].shapes, tiny)
    download.FILES = {"base": (download.Published("base.pt", URL, shapes),)}

PromptServer.instance.app.on_startup.append(patch)
"""


class HostError(Exception):
    """A prompt that ComfyUI refused (node_errors) or could not finish (detail: its execution event)."""

    def __init__(self, message, node_errors=None, detail=None):
        super().__init__(message)
        self.node_errors = node_errors or {}
        self.detail = detail or {}


class Host:
    """One running server with a base directory of its own; beside the project it has the nodes of probe_nodes.py alone.

    With the `url` of a PublishedServer, the server downloads "base" from there, as a model of the tiny size.
    """

    def __init__(self, checkout, url=None):
        self.checkout = checkout
        self.published_url = url
        self.version = version(checkout)
        self.base = Path(tempfile.mkdtemp(prefix="glide-host-"))
        self.log_path = self.base / "server.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client_id = uuid.uuid4().hex
        self.process = None

    def __enter__(self):
        try:
            self._prepare_base()
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *exception):
        self._stop()

    # -- life ----------------------------------------------------------------------------------

    def _prepare_base(self):
        for folder in ("custom_nodes", "models", "input", "output", "user/default"):
            (self.base / folder).mkdir(parents=True)
        (self.base / "custom_nodes" / PACK).symlink_to(PROJECT, target_is_directory=True)
        (self.base / "custom_nodes" / "probe_nodes.py").symlink_to(Path(__file__).with_name("probe_nodes.py"))
        if self.published_url:
            patch = PUBLISHED_ELSEWHERE.replace("URL", repr(self.published_url))
            (self.base / "custom_nodes" / "published_elsewhere.py").write_text(patch)
        # A first visit opens a template browser over the canvas.
        settings = {"Comfy.TutorialCompleted": True}
        (self.base / "user" / "default" / "comfy.settings.json").write_text(json.dumps(settings))

    def _start(self):
        command = [python_of(self.checkout), "main.py", *ARGS, "--listen", "127.0.0.1", "--port", str(self.port)]
        command += ["--base-directory", str(self.base), "--disable-auto-launch", "--preview-method", "auto"]
        # Its default lies in the checkout, where two servers would share it.
        command += ["--database-url", f"sqlite:///{self.base}/user/comfyui.db"]
        # Paid API nodes only cost time here, and keep the frontend talking to the internet.
        command += ["--disable-api-nodes"]
        environment = {"OMP_NUM_THREADS": "2", **os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        with self.log_path.open("w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.checkout,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None:
                raise RuntimeError(
                    f"ComfyUI {self.version} ended with {self.process.returncode}:\n{self.log()[-4000:]}"
                )
            if time.monotonic() > deadline:
                raise TimeoutError(f"ComfyUI {self.version} not up in {START_SECONDS} s:\n{self.log()[-4000:]}")
            time.sleep(0.2)

    def _answers(self):
        try:
            return bool(self.get("/system_stats"))
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def _stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        shutil.rmtree(self.base)

    def log(self):
        """The server's output so far, without the colours of newer versions."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self.log_path.read_text(errors="replace"))

    # -- HTTP ----------------------------------------------------------------------------------

    def open(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.read()

    def get(self, path):
        return json.loads(self.open(path))

    def object_info(self, node=None):
        """Descriptions of all node types, or of the one named."""
        return self.get(f"/object_info/{quote(node)}")[node] if node else self.get("/object_info")

    def interrupt(self):
        self.open("/interrupt", {})

    # -- prompts -------------------------------------------------------------------------------

    def run(self, graph, timeout=RUN_SECONDS):
        """Runs a graph in API format; {node id: its UI outputs}, e.g. {"9": {"images": [...]}}."""
        return self.wait(self.submit(graph), timeout)

    def submit(self, graph):
        """Queues a graph and gives its prompt id; refuses one of which only some branches are valid."""
        try:
            answer = json.loads(self.open("/prompt", {"prompt": graph, "client_id": self.client_id}))
        except urllib.error.HTTPError as error:
            if error.code != 400:
                raise
            answer = json.loads(error.read())
            raise HostError(describe_refusal(answer), answer["node_errors"], answer["error"]) from None
        if answer["node_errors"]:
            # ComfyUI answers 200 and has queued the valid branches.
            self.wait(answer["prompt_id"])
            raise HostError(describe_refusal(answer), answer["node_errors"])
        return answer["prompt_id"]

    def wait(self, prompt_id, timeout=RUN_SECONDS):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            entry = self.get(f"/history/{prompt_id}").get(prompt_id)
            if entry:
                return finished_outputs(entry)
            if self.process.poll() is not None:
                raise RuntimeError(f"ComfyUI {self.version} died:\n{self.log()[-4000:]}")
            time.sleep(0.05)
        self.interrupt()
        raise TimeoutError(f"prompt not done in {timeout} s:\n{self.log()[-4000:]}")

    def watch(self, graph, on_event, timeout=RUN_SECONDS):
        """run() that also hands every event to on_event(type, data); previews come as ("preview", PIL image)."""
        with EventStream(self.port, self.client_id, timeout) as events:
            prompt_id = self.submit(graph)
            for kind, data in events:
                on_event(kind, data)
                if kind in FINAL_EVENTS and data["prompt_id"] == prompt_id:
                    break
        return self.wait(prompt_id, timeout)

    # -- images --------------------------------------------------------------------------------

    def image(self, output):
        """One entry of an `images` output as uint8 [H, W, C]."""
        query = urlencode({key: output[key] for key in ("filename", "subfolder", "type")})
        with Image.open(io.BytesIO(self.open(f"/view?{query}"))) as picture:
            return np.asarray(picture.convert("RGBA" if "A" in picture.getbands() else "RGB"))

    def upload_image(self, image, name="upload.png"):
        """Puts a PIL image or an image file into the input folder; its name for LoadImage."""
        picture = image if isinstance(image, Image.Image) else Image.open(image)
        picture.save(self.base / "input" / name)
        return name


def describe_refusal(answer):
    lines = [answer["error"]["message"]] if "error" in answer else ["some branches were refused"]
    for node_id, node in answer["node_errors"].items():
        lines += [f"{node_id} {node['class_type']}: {e['message']}: {e['details']}" for e in node["errors"]]
    return "\n".join(lines)


def finished_outputs(entry):
    for kind, data in entry["status"]["messages"]:
        if kind == "execution_error":
            raise HostError(f"{data['node_type']}: {data['exception_type']}: {data['exception_message']}", detail=data)
        if kind == "execution_interrupted":
            raise HostError("interrupted", detail=data)
    return entry["outputs"]


FINAL_EVENTS = ("execution_success", "execution_error", "execution_interrupted")
TEXT, BINARY, CLOSE = 1, 2, 8
PREVIEW_IMAGE = 1


class EventStream:
    """ComfyUI's websocket, read only: just enough of RFC 6455 to need no dependency."""

    def __init__(self, port, client_id, timeout):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /ws?clientId={client_id} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.stream = self.socket.makefile("rb")
        status = self.stream.readline()
        if b" 101 " not in status:
            raise ConnectionError(f"no websocket: {status!r}")
        while self.stream.readline().strip():
            pass

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stream.close()
        self.socket.close()

    def __iter__(self):
        while True:
            opcode, payload = self._frame()
            if opcode == TEXT:
                message = json.loads(payload)
                yield message["type"], message["data"]
            elif opcode == BINARY and struct.unpack(">I", payload[:4])[0] == PREVIEW_IMAGE:
                yield "preview", Image.open(io.BytesIO(payload[8:]))
            elif opcode == CLOSE:
                return

    def _frame(self):
        opcode, length = self._read(2)
        if length == 126:
            (length,) = struct.unpack(">H", self._read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self._read(8))
        return opcode & 15, self._read(length)

    def _read(self, count):
        data = self.stream.read(count)
        if len(data) < count:
            raise ConnectionError("ComfyUI closed the websocket")
        return data
