// Where GlideCrop cuts a photo, drawn over it before anything runs: what is painted is red, the squares are framed. The
// server says where they are (nodes/host/squares.py), as long as photo and mask come from LoadImage or LoadImageMask,
// perhaps with the margins of GlideOutpaintPad.

import { app } from "../../../scripts/app.js"
import { addPanel, COLOURS, element, fit, originOf, quietly, say, watch, widgetOf } from "./parts.js"

const WAIT_MS = 60
const HIGHEST = 260 // pixels
const SIDES = ["left", "top", "right", "bottom"]
const WIDGETS = ["crop_factor", "squares", "grow", "square_side", "invert_mask", "fill_holes", "blur"]
const FILES = ["LoadImage", "LoadImageMask", "LoadImageOutput"]

const fileOf = (node) => (FILES.includes(node?.comfyClass) ? widgetOf(node, "image")?.value : undefined)

// Whether every widget of the node has its value here, and gets none from a link.
const isFree = (node, names) =>
    names.every((name) => node.inputs?.find((input) => input.name === name)?.link == null)

function asked(node) {
    let image = originOf(node, "image")
    let mask = originOf(node, "mask")
    const question = {}
    if (image?.comfyClass === "GlideOutpaintPad" && image === mask && isFree(image, SIDES)) {
        question.pad = SIDES.map((side) => widgetOf(image, side)?.value)
        image = mask = originOf(image, "image")
    }
    Object.assign(question, { image: fileOf(image), mask: fileOf(mask) })
    if (mask?.comfyClass === "LoadImageMask") question.channel = widgetOf(mask, "channel")?.value
    if (!question.image || !question.mask || !isFree(node, WIDGETS)) return ""
    for (const name of WIDGETS) question[name] = widgetOf(node, name)?.value
    return JSON.stringify(question)
}

function drawn(tag, attributes) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag)
    Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value))
    return made
}

// A square in white with blue dashes: it is seen on every photo. Of several each has its number, by which it gets its
// prompt from a list.
function framed({ left, top, side }, place, squares) {
    const look = { x: left, y: top, width: side, height: side, fill: "none", "vector-effect": "non-scaling-stroke" }
    const white = drawn("rect", { ...look, stroke: "white", "stroke-width": 2 })
    const dashed = drawn("rect", { ...look, stroke: COLOURS.chosen, "stroke-width": 2, "stroke-dasharray": "6 4" })
    dashed.dataset.testid = "glide-square"
    if (squares.length === 1) return [white, dashed]
    return [white, dashed, numbered(left + side / 2, top + side / 2, side / 5, place + 1)]
}

function numbered(x, y, size, number) {
    const place = { x, y, "text-anchor": "middle", "dominant-baseline": "central" }
    const look = { fill: "white", stroke: COLOURS.chosen, "stroke-width": size / 10, "paint-order": "stroke" }
    const label = drawn("text", { ...place, ...look, "font-size": size, "font-weight": "bold" })
    label.dataset.testid = "glide-number"
    label.textContent = number
    return label
}

function draw(node, panel, answer) {
    panel.answer = answer
    panel.root.replaceChildren()
    if (answer) {
        const { width, height, photo, squares } = answer
        const stage = drawn("svg", { viewBox: `0 0 ${width} ${height}`, width: "100%", height: "100%", role: "img" })
        const told = say("squares", "The photo: what is painted is red, and each square that is cut out is framed.")
        stage.setAttribute("aria-label", told)
        stage.append(drawn("image", { href: photo, width, height }), ...squares.flatMap(framed))
        panel.root.append(stage)
    }
    fit(node)
}

function makePanel(node) {
    const root = element("div", {})
    root.dataset.testid = "glide-squares"
    const panel = { root, answer: null }
    addPanel(node, "glide_squares", root, () => {
        if (!panel.answer) return 0
        const { width, height } = panel.answer
        return Math.min(HIGHEST, Math.round(((node.size[0] - 30) * height) / width))
    })
    watch(node, WAIT_MS, asked, async (_, body, current) => {
        const answer = body ? await quietly("/glide/squares", body) : null
        if (current()) draw(node, panel, answer)
    })
}

app.registerExtension({
    name: "glide.squares",
    nodeCreated(node) {
        if (node.comfyClass === "GlideCrop") makePanel(node)
    },
})
