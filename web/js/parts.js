// What the parts of this pack's pages have in common: elements with styles of their own, words in the user's language,
// and panels below a node's widgets, which both the classic canvas and the Vue nodes show.

import { app } from "../../../scripts/app.js"
import { api } from "../../../scripts/api.js"

export const COLOURS = {
    text: "var(--input-text)",
    faint: "var(--descrip-text)",
    border: "var(--border-color)",
    field: "var(--comfy-input-bg)",
    ground: "var(--comfy-menu-bg)",
    chosen: "#3a9bdc",
}

const MARGIN = 4 // around a panel

const LOOK_MS = 80 // how often what is watched is looked at

const watched = new Map() // node -> what is watched of it
let looking = null
let words = {} // of locales/<language>/main.json, below "glide"

export async function loadWords() {
    const language = app.ui.settings.getSettingValue("Comfy.Locale") || "en"
    try {
        const all = await (await api.fetchApi("/i18n")).json()
        words = all[language]?.glide ?? {}
    } catch {
        words = {} // without the server the page speaks English
    }
}

// A text in the user's language, or the English one, in which {name} stands for a value.
export function say(key, english, values = {}) {
    return (words[key] ?? english).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole)
}

export function element(tag, style, text = "", ...children) {
    const made = document.createElement(tag)
    Object.assign(made.style, style)
    made.textContent = text
    made.append(...children)
    return made
}

export function button(text, act) {
    const made = element(
        "button",
        {
            padding: "4px 8px",
            borderRadius: "6px",
            border: `1px solid ${COLOURS.border}`,
            background: COLOURS.field,
            color: COLOURS.text,
            cursor: "pointer",
        },
        text,
    )
    made.type = "button"
    made.addEventListener("click", act)
    return made
}

// Adds an element below the widgets of a node, which no graph and no prompt holds. Its height is asked for again and
// again, so that it may change.
export function addPanel(node, name, root, height) {
    Object.assign(root.style, { boxSizing: "border-box", fontSize: "12px", color: COLOURS.text, overflow: "hidden" })
    const outer = () => height() + 2 * MARGIN
    const widget = node.addDOMWidget(name, name, root, {
        serialize: false,
        hideOnZoom: false,
        margin: MARGIN,
        getMinHeight: outer,
        getMaxHeight: outer,
    })
    widget.serialize = false
    return widget
}

// Makes a node as high as its widgets need, and no lower than it is.
export function fit(node, before = 0) {
    node.setSize([node.size[0], Math.max(node.size[1], before, node.computeSize()[1])])
    node.setDirtyCanvas?.(true, true)
}

export function after(object, method, then) {
    const before = object[method]
    object[method] = function (...values) {
        const result = before?.apply(this, values)
        then(...values)
        return result
    }
}

// Calls `then` with what `asked` gives, a text, once it is another one than before and has rested for `wait` milliseconds.
// So it sees every change, whoever made it: typing, undo, links, other extensions.
export function watch(node, wait, asked, then) {
    watched.set(node, [...(watched.get(node) ?? []), { wait, asked, then, seen: "", told: "", since: 0 }])
    looking ??= setInterval(() => watched.forEach((each, other) => each.forEach((one) => look(other, one))), LOOK_MS)
    after(node, "onRemoved", () => watched.delete(node))
}

function look(node, one) {
    const now = one.asked(node)
    if (now !== one.seen) Object.assign(one, { seen: now, since: performance.now() })
    if (one.seen === one.told || performance.now() - one.since < one.wait) return
    one.told = one.seen
    one.then(node, now, () => one.seen === now && watched.has(node))
}

// What the server answers to a POST, or null where it is away or refuses: then nothing is shown.
export async function quietly(path, body) {
    try {
        const headers = { "Content-Type": "application/json" }
        const response = await api.fetchApi(path, { method: "POST", headers, body })
        return response.ok ? await response.json() : null
    } catch {
        return null
    }
}

// -- the graph -----------------------------------------------------------------------------------

export const widgetOf = (node, name) => node?.widgets?.find((widget) => widget.name === name)

// The node that a link comes from, also through reroutes, or undefined.
export function originOf(node, name) {
    const slot = node.inputs?.findIndex((input) => input.name === name) ?? -1
    return slot < 0 ? undefined : node.getInputNode(slot) ?? undefined
}

// The nearest node before this one, by whatever links, for which `is` holds; only links of the types given, if any.
export function before(node, is, types = null) {
    const waiting = [node]
    const seen = new Set(waiting)
    while (waiting.length) {
        const here = waiting.shift()
        for (const input of here.inputs ?? []) {
            const origin = input.link == null || (types && !types.includes(input.type)) ? null : originOf(here, input.name)
            if (!origin || seen.has(origin)) continue
            if (is(origin)) return origin
            seen.add(origin)
            waiting.push(origin)
        }
    }
}

// Gives a widget a value as a user would.
export function setWidget(node, name, value) {
    const widget = widgetOf(node, name)
    if (!widget) return false
    widget.value = typeof widget.value === "string" ? String(value) : value
    widget.callback?.(widget.value)
    node.setDirtyCanvas?.(true, true)
    return true
}
