"""The graph that the host runs at this moment, as far as it tells."""

from __future__ import annotations

from typing import Any

from comfy_execution.utils import get_executing_context
from server import PromptServer

import nodes

MODEL_CARRIERS = {"MODEL", "GUIDER"}  # the types of links through which a MODEL reaches a sampler


def classes_before_sampler() -> set[str]:
    """The classes of the nodes through which the MODEL came that is sampled now.

    Nodes that bypass the graph, such as those that a running node has put in its own place, are not seen.
    """
    context = get_executing_context()
    graph = _running_graph(context.prompt_id) if context else {}
    found: set[str] = set()
    waiting, seen = [context.node_id] if context else [], set()
    while waiting:
        number = waiting.pop()
        if number in seen or number not in graph:
            continue
        seen.add(number)
        for value in graph[number]["inputs"].values():
            if isinstance(value, list) and len(value) == 2 and _carries_model(graph, *value):
                found.add(graph[value[0]]["class_type"])
                waiting.append(value[0])
    return found


def _running_graph(prompt_id: str) -> dict[str, dict[str, Any]]:
    """The graph in API format of the prompt that runs, {} where there is none of this id."""
    server = getattr(PromptServer, "instance", None)
    if server is None:
        return {}
    running = list(server.prompt_queue.currently_running.values())
    return next((item[2] for item in running if item[1] == prompt_id), {})


def _carries_model(graph: dict[str, dict[str, Any]], number: str, slot: int) -> bool:
    if number not in graph:
        return False
    types = nodes.NODE_CLASS_MAPPINGS[graph[number]["class_type"]].RETURN_TYPES
    return slot < len(types) and types[slot] in MODEL_CARRIERS
