// The contact sheet on nodes that make many pictures: thumbnails with seed, score and prompt. One is chosen with keys or
// the mouse, and can be enlarged, kept as a favourite in the workflow, copied, or picked: then its seed, or all that its
// cell was made with, goes into the widgets of the nodes that made it.

import { app } from "../../../scripts/app.js"
import { api } from "../../../scripts/api.js"
import { addPanel, after, button, COLOURS, element, fit, say } from "./parts.js"
import { pick } from "./pick.js"
import { recall } from "./recall.js"
import { zoom } from "./zoom.js"

const NODES = ["GlideSampler", "GlideBest", "GlideGrid"]
const FAVOURITES = "glide_favourites" // a property of the node
const CELL = 84 // pixels, with its margin
const CAPTION = 30
const HIGHEST = 380
const BAR = 58

const keyOf = ({ seed, prompt, parameters }) => JSON.stringify(parameters ?? { seed, prompt })
const told = ({ caption, seed, score, prompt }) =>
    [
        caption,
        seed != null && !caption?.includes(`seed ${seed}`) && say("seed", "seed {seed}", { seed }),
        score != null && say("score", "score {score}", { score }),
        prompt !== caption && prompt,
    ]
        .filter(Boolean)
        .join(", ")

function addressOf({ filename, subfolder, type }) {
    return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`)
}

class Sheet {
    constructor(node) {
        this.node = node
        this.entries = []
        this.chosen = 0
        this.thumbs = element("div", {
            display: "grid",
            gap: "4px",
            overflow: "auto",
            flex: "1",
            outlineOffset: "-2px",
        })
        this.thumbs.tabIndex = 0
        this.thumbs.setAttribute("role", "listbox")
        this.line = element("div", {
            overflow: "hidden",
            textOverflow: "ellipsis",
            whiteSpace: "nowrap",
            color: COLOURS.faint,
        })
        this.actions = {
            pick: button(say("pick", "Pick"), () => this.pick()),
            star: button("\u2606", () => this.star()),
            copy: button(say("copy", "Copy parameters"), () => this.copy()),
            zoom: button(say("zoom", "Enlarge"), () => this.zoom()),
        }
        const row = element("div", { display: "flex", gap: "4px", flexWrap: "nowrap" }, "", ...Object.values(this.actions))
        this.root = element(
            "div",
            { display: "flex", flexDirection: "column", gap: "4px", padding: "2px" },
            "",
            this.thumbs,
            this.line,
            row,
        )
        this.root.dataset.testid = `glide-sheet-${node.comfyClass}`
        this.thumbs.addEventListener("keydown", (event) => this.key(event))
        this.thumbs.addEventListener("wheel", (event) => event.stopPropagation())
        addPanel(node, "glide_sheet", this.root, () => this.height())
        this.show()
    }

    // -- what there is ---------------------------------------------------------------------------

    get favourites() {
        return this.node.properties?.[FAVOURITES] ?? []
    }

    // The pictures of the last run, then the favourites of earlier ones.
    get all() {
        const here = new Set(this.entries.map(keyOf))
        return [...this.entries, ...this.favourites.filter((entry) => !here.has(keyOf(entry)))]
    }

    get visible() {
        return this.all.length > (this.node.comfyClass === "GlideGrid" || this.favourites.length ? 0 : 1)
    }

    // A node tells all pictures of a run at once, and GlideGrid each one as soon as it is there.
    take(entries) {
        if (entries.length > 1 || entries[0].place === 0) this.entries = entries
        else this.entries = [...this.entries.filter(({ place }) => place !== entries[0].place), ...entries]
        this.chosen = Math.min(this.chosen, this.all.length - 1)
        this.show()
    }

    // -- what is seen ----------------------------------------------------------------------------

    get columns() {
        const room = Math.max(1, Math.floor((this.node.size[0] - 24) / CELL))
        return Math.max(1, Math.min(this.entries[0]?.columns ?? room, this.all.length))
    }

    height() {
        if (!this.visible) return 0
        const rows = Math.ceil(this.all.length / this.columns)
        const side = Math.max(CELL - 20, Math.min(2 * CELL, (this.node.size[0] - 30) / this.columns))
        return Math.min(HIGHEST, rows * (side + CAPTION) + 8) + BAR
    }

    show() {
        this.root.style.display = this.visible ? "flex" : "none"
        this.reflow()
        this.thumbs.replaceChildren(...this.all.map((entry, place) => this.thumb(entry, place)))
        this.mark()
        fit(this.node)
    }

    reflow() {
        this.thumbs.style.gridTemplateColumns = `repeat(${this.columns}, minmax(${CELL - 24}px, 1fr))`
    }

    thumb(entry, place) {
        const picture = element("img", { width: "100%", display: "block", imageRendering: "pixelated" })
        picture.src = addressOf(entry)
        picture.alt = told(entry)
        picture.draggable = false
        const caption = element(
            "div",
            { fontSize: "10px", lineHeight: "13px", maxHeight: "26px", overflow: "hidden", overflowWrap: "anywhere" },
            told(entry),
        )
        const star = element("span", { position: "absolute", right: "4px", top: "2px", color: "#ffc83d", fontSize: "14px" })
        star.style.textShadow = "0 0 2px black, 0 0 2px black" // so that it is seen on white pictures, too
        const made = element("div", { position: "relative", cursor: "pointer", borderRadius: "3px" }, "", picture, caption, star)
        made.setAttribute("role", "option")
        made.title = told(entry)
        made.addEventListener("click", () => this.choose(place))
        made.addEventListener("dblclick", () => this.zoom())
        return made
    }

    mark() {
        const kept = new Set(this.favourites.map(keyOf))
        ;[...this.thumbs.children].forEach((thumb, place) => {
            thumb.style.outline = place === this.chosen ? `2px solid ${COLOURS.chosen}` : "none"
            thumb.setAttribute("aria-selected", String(place === this.chosen))
            thumb.lastChild.textContent = kept.has(keyOf(this.all[place])) ? "\u2605" : ""
        })
        const entry = this.all[this.chosen]
        const starred = entry && kept.has(keyOf(entry))
        this.actions.star.textContent = starred ? "\u2605" : "\u2606"
        this.actions.star.title = starred ? say("unstar", "No longer a favourite") : say("star", "Keep as a favourite")
        this.line.textContent = this.line.title = entry ? told(entry) : ""
    }

    // -- what is done ----------------------------------------------------------------------------

    choose(place) {
        this.chosen = Math.max(0, Math.min(place, this.all.length - 1))
        this.thumbs.focus({ preventScroll: true })
        this.thumbs.children[this.chosen]?.scrollIntoView({ block: "nearest" })
        this.mark()
    }

    key(event) {
        const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns }[event.key]
        const act = { Enter: "zoom", " ": "zoom", p: "pick", f: "star", c: "copy" }[event.key]
        if (event.ctrlKey || event.metaKey || event.altKey || (!step && !act)) return
        event.preventDefault()
        event.stopPropagation() // else the canvas would move or copy the node
        const to = this.chosen + (step ?? 0)
        if (step && to >= 0 && to < this.all.length) this.choose(to)
        if (act) this[act]()
    }

    pick() {
        this.line.textContent = this.line.title = pick(this.node, this.all[this.chosen])
    }

    star() {
        const entry = this.all[this.chosen]
        const rest = this.favourites.filter((other) => keyOf(other) !== keyOf(entry))
        const kept = rest.length < this.favourites.length ? rest : [...rest, entry]
        this.node.setProperty(FAVOURITES, kept)
        this.node.graph?.change?.()
        this.chosen = Math.min(this.chosen, this.all.length - 1)
        this.show()
    }

    async copy() {
        const { parameters, seed, prompt, score } = this.all[this.chosen]
        await toClipboard(JSON.stringify(parameters ?? { seed, prompt, score }, null, 1))
        this.line.textContent = say("copied", "The parameters are copied.")
    }

    zoom() {
        const all = this.all
        const at = (place) => ({ src: addressOf(all[place]), title: told(all[place]) })
        zoom(this.chosen, all.length, at, (place) => {
            this.chosen = place
            this.mark()
        })
    }
}

async function toClipboard(text) {
    if (navigator.clipboard && isSecureContext) return navigator.clipboard.writeText(text)
    const field = element("textarea", { position: "fixed", opacity: "0" })
    field.value = text
    document.body.append(field)
    field.select()
    document.execCommand("copy") // what pages without https have
    field.remove()
}

const sheets = new Map() // by the nodes

app.registerExtension({
    name: "glide.sheet",
    afterConfigureGraph: recall(() => [...sheets.keys()], "glide_sheet", (node, list) => sheets.get(node)?.take(list)),
    nodeCreated(node) {
        if (!NODES.includes(node.comfyClass)) return
        const sheet = new Sheet(node)
        sheets.set(node, sheet)
        after(node, "onRemoved", () => sheets.delete(node))
        after(node, "onExecuted", (output) => output?.glide_sheet?.length && sheet.take(output.glide_sheet))
        after(node, "onConfigure", () => sheet.show())
        after(node, "onResize", () => sheet.reflow())
    },
})
