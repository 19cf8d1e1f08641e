// The Download button on a node whose checkpoint is a published model that is not in models/glide yet.
//
// The server downloads (nodes/host/routes.py); this page asks it to, shows how far it is, and chooses the file when it is
// there. Choosing a model alone asks for nothing.

import { app } from "../../../scripts/app.js"
import { api } from "../../../scripts/api.js"
import { after, element } from "./parts.js"

const CHECKPOINT = "checkpoint"
const PANEL = "glide_download"
const PANEL_HEIGHT = 84
const POLL_MS = 500
const MEGABYTE = 1e6

const nodes = new Set() // every node of this pack that loads a checkpoint, in whatever graph it lies
let models = [] // the answer of /glide/models
let download = { state: "idle", name: "" } // the answer of /glide/download
let queue = [] // names of the models whose buttons were clicked while another download ran
let polling = false

async function ask(path, body) {
    const request = body && {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
    }
    const response = await api.fetchApi(path, request || {})
    const answer = await response.json()
    if (!response.ok) throw new Error(answer.error)
    return answer
}

const busy = () => download.state === "running" || download.state === "checking"
const checkpointOf = (node) => node.widgets?.find((widget) => widget.name === CHECKPOINT)
const named = (model, value) => [model.label, model.file, model.name].includes(value)
const missingModel = (node) => models.find((model) => !model.there && named(model, checkpointOf(node)?.value))

// -- what happens ------------------------------------------------------------------------------

async function start(name) {
    if (busy()) {
        queue.push(name)
        return showAll()
    }
    try {
        download = await ask("/glide/download", { name })
    } catch (error) {
        download = { name, state: "failed", error: error.message, done: 0 }
    }
    showAll()
    poll()
}

async function cancel(name) {
    if (queue.includes(name)) {
        queue = queue.filter((other) => other !== name)
        return showAll()
    }
    download = await ask("/glide/download/cancel", {})
    poll()
}

async function poll() {
    if (polling) return
    polling = true
    while (busy()) {
        await new Promise((resolve) => setTimeout(resolve, POLL_MS))
        try {
            download = await ask("/glide/download")
        } catch (error) {
            download = { ...download, state: "failed", error: `The server does not answer: ${error.message}` }
        }
        showAll()
    }
    polling = false
    if (download.state === "done") await chooseFile()
    const next = queue.shift()
    if (next) start(next)
}

async function chooseFile() {
    models = await ask("/glide/models")
    await app.refreshComboInNodes()
    showAll()
}

// -- what is seen ------------------------------------------------------------------------------

function makePanel(node) {
    const root = element("div", {
        display: "flex",
        flexDirection: "column",
        gap: "4px",
        padding: "4px 2px",
        boxSizing: "border-box",
        fontSize: "12px",
        color: "var(--input-text)",
        overflow: "hidden",
    })
    root.dataset.testid = "glide-download"
    const button = element("button", {
        flexShrink: "0",
        padding: "4px 8px",
        borderRadius: "6px",
        border: "1px solid var(--border-color)",
        background: "var(--comfy-input-bg)",
        color: "var(--input-text)",
        cursor: "pointer",
    })
    const bar = element("progress", { flexShrink: "0", width: "100%", height: "8px", accentColor: "#3a9bdc" })
    const line = element("div", { lineHeight: "1.25", overflowWrap: "anywhere" })
    button.addEventListener("click", () => button.act())
    root.append(button, bar, line)

    const height = node.size[1]
    const widget = node.addDOMWidget(PANEL, "glide_download", root, {
        serialize: false,
        hideOnZoom: false,
        getMinHeight: () => PANEL_HEIGHT,
        getMaxHeight: () => PANEL_HEIGHT,
    })
    widget.serialize = false
    node.glideDownload = { widget, button, bar, line, height }
    node.setSize([node.size[0], Math.max(height, node.computeSize()[1])])
}

function removePanel(node) {
    const { widget, height } = node.glideDownload
    delete node.glideDownload
    node.removeWidget(widget)
    node.setSize([node.size[0], Math.max(height, node.computeSize()[1])])
}

function timeLeft(seconds) {
    if (seconds == null) return ""
    if (seconds < 90) return `, ${Math.ceil(seconds)} s left`
    return seconds < 5400 ? `, ${Math.round(seconds / 60)} min left` : `, ${(seconds / 3600).toFixed(1)} h left`
}

function progressText() {
    if (download.state === "checking") return "Checking the file"
    const done = Math.floor(download.done / MEGABYTE)
    if (!download.total) return `${done} MB`
    return `${done} of ${Math.ceil(download.total / MEGABYTE)} MB${timeLeft(download.seconds_left)}`
}

function showPanel({ button, bar, line }, model) {
    const mine = download.name === model.name
    const running = mine && busy()
    const waits = queue.includes(model.name)
    const stopped = mine && (download.state === "cancelled" || download.state === "failed")
    bar.style.display = running ? "block" : "none"
    if (download.total) {
        bar.max = download.total
        bar.value = download.done
    } else bar.removeAttribute("value")

    button.textContent = running || waits ? "Cancel" : `Download ${model.file} (${model.gigabytes} GB)`
    if (stopped && download.done) button.textContent = `Resume the download of ${model.file}`
    button.act = () => (running || waits ? cancel(model.name) : start(model.name))

    if (running) line.textContent = progressText()
    else if (waits) line.textContent = `Waits until ${download.file} is there`
    else if (stopped) line.textContent = download.error || "Cancelled. What has arrived is kept."
    else line.textContent = "By OpenAI. It goes to models/glide."
    line.title = line.textContent
}

function show(node) {
    const checkpoint = checkpointOf(node)
    if (!checkpoint) return
    const found = models.find((model) => model.there && model.label === checkpoint.value)
    if (found) checkpoint.value = found.file
    const model = missingModel(node)
    if (model) checkpoint.value = model.label // the frontend marks a file that is not there as an error
    if (model && !node.glideDownload) makePanel(node)
    if (!model && node.glideDownload) removePanel(node)
    if (model) showPanel(node.glideDownload, model)
    node.setDirtyCanvas?.(true, true)
}

const showAll = () => nodes.forEach(show)

app.registerExtension({
    name: "glide.download",
    async setup() {
        models = await ask("/glide/models")
        download = await ask("/glide/download")
        showAll()
        poll()
    },
    nodeCreated(node) {
        const checkpoint = node.comfyClass?.startsWith("Glide") && checkpointOf(node)
        if (!checkpoint) return
        nodes.add(node)
        after(checkpoint, "callback", () => show(node))
        after(node, "onConfigure", () => show(node))
        after(node, "onRemoved", () => nodes.delete(node))
        show(node)
    },
})
