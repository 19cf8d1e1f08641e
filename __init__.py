"""GLIDE for ComfyUI: the entry that ComfyUI reads. The nodes are in ``nodes``, GLIDE itself in ``glide_core``."""

from comfy_api.latest import ComfyExtension, io

from .nodes import AT_RUN_TIME, NODES
from .nodes.host import routes

WEB_DIRECTORY = "./web"


class GlideExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [*NODES, *AT_RUN_TIME]


async def comfy_entrypoint() -> GlideExtension:
    routes.register()
    return GlideExtension()
