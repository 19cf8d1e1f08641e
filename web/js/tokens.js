// How many tokens a prompt has, below the text of GlideTextEncode while it is typed; what the model would not read is
// struck through. The server counts (nodes/host/tokens.py), with the tokenizer of the loader that the CLIP comes from.

import { app } from "../../../scripts/app.js"
import { addPanel, before, COLOURS, element, fit, loadWords, quietly, say, watch, widgetOf } from "./parts.js"

const WAIT_MS = 250 // how long a text must rest until it is counted
const LINE_HEIGHT = 18
const SHOWN = 120 // characters of what is cut

function asked(node) {
    const loader = before(node, (other) => other.comfyClass === "GlideLoader", ["CLIP"])
    const checkpoint = widgetOf(loader, "checkpoint")?.value
    const linked = node.inputs?.find((input) => input.name === "text")?.link != null
    const text = widgetOf(node, "text")?.value
    return checkpoint && typeof text === "string" && !linked ? JSON.stringify({ checkpoint, text }) : ""
}

function lineOf({ count, limit, cut }) {
    const line = element("div", { whiteSpace: "nowrap", overflow: "hidden", textOverflow: "ellipsis" })
    line.style.color = cut ? "var(--error-text)" : COLOURS.faint
    line.textContent = say("tokens", "{count} of {limit} tokens", { count, limit })
    if (cut) line.append(" ", element("s", {}, cut.slice(0, SHOWN)))
    if (cut) line.title = say("cut", "The model does not read what is struck through: {cut}", { cut })
    return line
}

function makePanel(node) {
    const root = element("div", { padding: "0 4px", lineHeight: `${LINE_HEIGHT}px` })
    root.dataset.testid = "glide-tokens"
    let lines = 1
    addPanel(node, "glide_tokens", root, () => LINE_HEIGHT * lines)
    watch(node, WAIT_MS, asked, async (_, body, current) => {
        const answer = body ? await quietly("/glide/tokens", body) : null
        if (!current()) return
        const parts = answer?.parts ?? []
        root.replaceChildren(...parts.map(lineOf))
        lines = Math.max(1, parts.length)
        fit(node)
    })
}

app.registerExtension({
    name: "glide.tokens",
    setup: loadWords,
    nodeCreated(node) {
        if (node.comfyClass === "GlideTextEncode") makePanel(node)
    },
})
