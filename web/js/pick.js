// What a picture was made with goes back into the widgets of the nodes that made it.

import { before, originOf, say, setWidget, widgetOf } from "./parts.js"

const SEEDS = ["seed", "noise_seed"]
const CONTROL = "control_after_generate"
// The widgets of GlideSweep by the names of its axes, where they are not the same.
const OTHER_NAMES = { guidance: "guidance_scale" }

const hasSeed = (node) => SEEDS.some((name) => widgetOf(node, name))

// Sends a seed, or all parameters of a cell, and says in a sentence what was done.
export function pick(node, entry) {
    if (node.comfyClass === "GlideGrid" && entry.parameters) return pickCell(node, entry.parameters)
    if (entry.seed == null) return say("noSeed", "The seed of this picture is unknown: connect seed.")
    const target = hasSeed(node) && node.comfyClass !== "GlideBest" ? node : before(node, hasSeed)
    if (!target) return say("noTarget", "No node before this one has a seed.")
    setSeed(target, entry.seed)
    return say("picked", "Seed {seed} is set in {title}.", { seed: entry.seed, title: target.title })
}

function setSeed(node, seed) {
    const name = SEEDS.find((each) => widgetOf(node, each))
    const origin = originOf(node, name)
    if (origin && setWidget(origin, "value", seed)) setWidget(origin, CONTROL, "fixed")
    else if (origin && hasSeed(origin)) setSeed(origin, seed)
    setWidget(node, name, seed)
    setWidget(node, CONTROL, "fixed")
    setWidget(node, "batch_index", 0)
}

// The node that made the axes keeps the values for its next sweep, and the nodes that it fed for work without it.
function pickCell(node, parameters) {
    const source = originOf(node, "axes")
    if (!source) return say("noTarget", "No node before this one has a seed.")
    for (const [name, value] of Object.entries(parameters)) {
        setWidget(source, OTHER_NAMES[name] ?? name, value)
        const output = source.outputs?.find((each) => each.name === name || `${name}s` === each.name)
        for (const id of output?.links ?? []) {
            const link = node.graph.links.get?.(id) ?? node.graph.links[id]
            const target = link && node.graph.getNodeById(link.target_id)
            if (target) setWidget(target, target.inputs[link.target_slot].name, value)
        }
    }
    if ("seed" in parameters) setWidget(source, CONTROL, "fixed")
    return say("pickedCell", "The values of this cell are set in {title} and after it.", { title: source.title })
}
