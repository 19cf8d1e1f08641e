"""ComfyUI's real frontend in headless Chromium: open a workflow, look at it, read it back.

As a script it makes screenshots: python browser.py <server url> <workflow.json> <out.png>
"""

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path

FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 1000 * float(os.environ.get("GLIDE_START_SECONDS", 120))

READY = "() => window.app?.extensionManager?.command && window.app.graph && window.app.canvas"
LOAD = """async (workflow) => {
    await app.loadGraphData(workflow)
    await app.extensionManager.command.execute("Comfy.Canvas.FitView")
}"""
NODES = """() => app.graph.nodes.map((node) => ({
    id: String(node.id),
    type: node.type,
    known: node.type in LiteGraph.registered_node_types,
    widgets: Object.fromEntries((node.widgets ?? []).map((widget) => [widget.name, widget.value])),
}))"""
VUE = "(vue) => app.ui.settings.setSettingValueAsync('Comfy.VueNodes.Enabled', vue)"
# Frontends that hide the setting have Vue nodes that leave out the elements that extensions add.
VUE_IS_HIDDEN = "() => app.ui.settings.settingsLookup['Comfy.VueNodes.Enabled']?.type === 'hidden'"
VERSION = "() => window.__COMFYUI_FRONTEND_VERSION__"
PROMPT = "async () => (await app.graphToPrompt()).output"


def chromium():
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


def missing_browser():
    """Why no browser can be driven here, or None."""
    if importlib.util.find_spec("playwright") is None:
        return "no browser test: pip install playwright"
    if chromium() is None:
        return "no browser test: install chromium, or set CHROMIUM to its path"
    return None


class Browser:
    """One page on a running server.

    `errors` has the stack of what the page threw: stock frontends throw too, so look for "/extensions/glide-nodes/".
    """

    def __init__(self, url, width=1600, height=1000):
        self.url = url
        self.size = {"width": width, "height": height}
        self.errors = []

    def __enter__(self):
        # Only here: most tests run where playwright is not installed.
        from playwright.sync_api import sync_playwright

        self.playwright = sync_playwright().start()
        try:
            self.chromium = self.playwright.chromium.launch(
                executable_path=chromium(), chromium_sandbox=False, args=FLAGS
            )
            self.page = self.chromium.new_page(viewport=self.size)
            self.page.set_default_timeout(WAIT_MS)
            self.page.on("pageerror", lambda error: self.errors.append(error.stack or str(error)))
            self.page.goto(self.url)
            self.page.wait_for_function(READY)
        except BaseException:
            self.playwright.stop()
            raise
        return self

    def __exit__(self, *exception):
        self.chromium.close()
        self.playwright.stop()

    def load(self, workflow):
        """Opens a workflow (a dict, or the path of its JSON) as a user's drop of the file would."""
        if not isinstance(workflow, dict):
            workflow = json.loads(Path(workflow).read_text())
        self.page.evaluate(LOAD, workflow)

    def nodes(self):
        """Nodes of the open graph: id (text: frontends differ), type, known (to the server), widgets {name: value}."""
        return self.page.evaluate(NODES)

    def prompt(self):
        """The open graph in API format, as the Run button would send it: fit for Host.run."""
        return self.page.evaluate(PROMPT)

    def use_vue_nodes(self, vue):
        """Switches between the classic canvas and Vue nodes. False where the frontend's Vue nodes are not ready."""
        if vue and self.page.evaluate(VUE_IS_HIDDEN):
            return False
        self.page.evaluate(VUE, vue)
        return True

    def shot(self, name):
        """Keeps a picture of the page in build/screenshots/<version of the frontend>: look at it."""
        folder = Path(__file__).parents[2] / "build" / "screenshots" / self.page.evaluate(VERSION)
        folder.mkdir(parents=True, exist_ok=True)
        self.screenshot(folder / f"{name}.png")

    def dismiss(self):
        """Closes a dialog over the canvas: older frontends show missing models that way."""
        self.page.keyboard.press("Escape")

    def screenshot(self, path):
        # The canvas is drawn in animation frames after loading, and toasts slide in.
        self.page.wait_for_timeout(1500)
        self.page.screenshot(path=str(path))


if __name__ == "__main__":
    server, workflow, picture = sys.argv[1:]
    with Browser(server) as opened:
        opened.load(workflow)
        opened.screenshot(picture)
        print(json.dumps(opened.nodes(), indent=1))
