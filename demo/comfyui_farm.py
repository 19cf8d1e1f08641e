"""Draw a list of prompts with a ComfyUI graph on many servers; it needs Python alone.

    python demo/comfyui_farm.py graph.json prompts.txt -o out --server http://a:8188 --server http://b:8188

graph.json is what ComfyUI's menu exports as API format. The prompt goes into the text that leads to the "positive"
input, or into the node of --text-node. Every seed of the graph becomes --seed plus the number of the prompt, so that no
two prompts share noise, whichever servers draw them. Pictures that are there already are not drawn again.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import queue
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

Graph = dict[str, Any]
POLL_SECONDS = 0.5
ANSWER_SECONDS = 30.0
PAUSE_SECONDS = 5.0  # that a server is left alone after a failure, twice as long after each further one
LONGEST_PAUSE = 300.0
SEEDS = ("seed", "noise_seed")


class Job(NamedTuple):
    """A prompt: its number, its text, and how often it was tried."""

    number: int
    text: str
    tries: int = 0


class BadGraph(Exception):
    """The server refuses the graph, which no other try would mend."""


class GraphFailed(Exception):
    """The server is well, and the graph failed on it."""


class Server:
    """One ComfyUI."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def draw(self, graph: Graph, seconds: float) -> list[bytes]:
        """Run a graph -> the files of its pictures.

        Raises:
            BadGraph: it is refused.
            GraphFailed: it failed, perhaps of too little memory.
            OSError: the server is gone, was restarted, or took too long.
        """
        number = self._submit(graph)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            history = json.loads(self._open(f"/history/{number}"))
            if number in history:
                return self._pictures(history[number])
            waiting = json.loads(self._open("/queue"))
            known = [entry[1] for entries in waiting.values() for entry in entries]
            if number not in known and number not in json.loads(self._open(f"/history/{number}")):
                raise OSError("it has forgotten the prompt: was it restarted?")
            time.sleep(POLL_SECONDS)
        raise OSError(f"no picture after {seconds:.0f} seconds")

    def _submit(self, graph: Graph) -> str:
        try:
            return str(json.loads(self._open("/prompt", json.dumps({"prompt": graph}).encode()))["prompt_id"])
        except urllib.error.HTTPError as error:
            if error.code == 400:
                raise BadGraph(error.read().decode("utf-8", "replace")[:1000]) from error
            raise

    def _pictures(self, entry: dict[str, Any]) -> list[bytes]:
        status = entry.get("status", {})
        if status.get("status_str") == "error":
            details = [note.get("exception_message") for kind, note in status["messages"] if kind == "execution_error"]
            raise GraphFailed(f"the graph failed: {' '.join(map(str, details)) or 'see its log'}")
        files = [
            image
            for output in entry["outputs"].values()
            for image in output.get("images", ())
            if image.get("type") == "output"
        ]
        return [self._open(f"/view?{urllib.parse.urlencode(image)}") for image in files]

    def _open(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            content: bytes = answer.read()
            return content


def text_node(graph: Graph) -> str:
    """The number of the node whose text is the prompt: upwards from a "positive" input. Exits where there is none."""
    waiting = [node["inputs"]["positive"][0] for node in graph.values() if "positive" in node["inputs"]]
    while waiting:
        number = waiting.pop()
        inputs = graph[number]["inputs"]
        if isinstance(inputs.get("text"), str):
            return number
        waiting += [value[0] for value in inputs.values() if isinstance(value, list) and value[0] in graph]
    sys.exit("no text leads to an input named positive: name its node with --text-node")


def filled(graph: Graph, node: str, text: str, seed: int) -> Graph:
    """The graph with a prompt and a seed."""
    graph = copy.deepcopy(graph)
    graph[node]["inputs"]["text"] = text
    for each in graph.values():
        for name in SEEDS:
            if isinstance(each["inputs"].get(name), int):
                each["inputs"][name] = seed
    return graph


class Farm:
    """Servers that share a list of prompts."""

    def __init__(self, args: argparse.Namespace, graph: Graph, jobs: list[Job]) -> None:
        self.args, self.graph = args, graph
        self.node = args.text_node or text_node(graph)
        self.jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        for job in jobs:
            self.jobs.put(job)
        self.left, self.failed = len(jobs), 0
        self.change = threading.Lock()

    def run(self) -> int:
        """Draw all -> how many prompts failed."""
        threads = [threading.Thread(target=self._serve, args=(Server(url),), daemon=True) for url in self.args.server]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.failed

    def _serve(self, server: Server) -> None:
        pause = PAUSE_SECONDS
        while self.left > 0:
            try:
                job = self.jobs.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue  # another server may still give a job back
            try:
                graph = filled(self.graph, self.node, job.text, self.args.seed + job.number)
                self._write(job, server.draw(graph, self.args.seconds))
                pause = PAUSE_SECONDS
            except BadGraph as error:
                self._give_up(job, f"{server.url} refuses the graph: {error}")
            except GraphFailed as error:
                self._give_back(job, f"{server.url}: {error}")
            except (OSError, ValueError) as error:
                self._give_back(job, f"{server.url}: {error}")
                time.sleep(min(pause, LONGEST_PAUSE))
                pause *= 2

    def _write(self, job: Job, pictures: list[bytes]) -> None:
        if not pictures:
            raise GraphFailed("the graph has saved no picture: is there a SaveImage in it?")
        for place, picture in reversed(list(enumerate(pictures))):  # the one that says that all are there comes last
            path = self.args.output / picture_name(job.number, place)
            temporary = path.with_suffix(".tmp")
            temporary.write_bytes(picture)
            os.replace(temporary, path)
        self._done()
        print(f"{job.number}: {job.text}", flush=True)

    def _give_back(self, job: Job, reason: str) -> None:
        if job.tries + 1 >= self.args.tries:
            self._give_up(job, f"{reason} (try {job.tries + 1})")
            return
        print(f"prompt {job.number} is tried again: {reason}", file=sys.stderr)
        self.jobs.put(job._replace(tries=job.tries + 1))

    def _give_up(self, job: Job, reason: str) -> None:
        print(f"prompt {job.number} failed: {reason}", file=sys.stderr)
        with self.change:
            self.failed += 1
        self._done()

    def _done(self) -> None:
        with self.change:
            self.left -= 1


def picture_name(number: int, place: int) -> str:
    """The file of a prompt's picture; further ones of the same prompt are numbered."""
    return f"{number:05d}.png" if place == 0 else f"{number:05d}-{place}.png"


def main() -> None:
    """Read the options and draw. Exits with 1 where a prompt failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("graph", type=Path, help="a graph in API format")
    add("prompts", type=Path, help="a prompt a line; blank lines and lines that begin with # are passed over")
    add("-o", "--output", type=Path, required=True, help="the folder for 00000.png, 00001.png, ...")
    add("--server", action="append", required=True, metavar="URL", help="a ComfyUI; may be given several times")
    add("--text-node", metavar="NUMBER", help="the node whose text is the prompt")
    add("--seed", type=int, default=0, help="of the first prompt (default: 0)")
    add("--tries", type=int, default=5, help="of a prompt, on any server (default: 5)")
    add("--seconds", type=float, default=3600, help="that a picture may take, with waiting (default: 3600)")
    args = parser.parse_args()
    graph = json.loads(args.graph.read_text(encoding="utf-8"))
    lines = [line.strip() for line in args.prompts.read_text(encoding="utf-8").splitlines()]
    texts = [line for line in lines if line and not line.startswith("#")]
    args.output.mkdir(parents=True, exist_ok=True)
    jobs = [Job(k, text) for k, text in enumerate(texts) if not (args.output / picture_name(k, 0)).exists()]
    sys.exit(1 if Farm(args, graph, jobs).run() else 0)


if __name__ == "__main__":
    main()
