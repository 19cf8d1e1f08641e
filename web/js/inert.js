// Inputs that other choices on the same node make inert are greyed. Their values stay, for when they count again.

import { app } from "../../../scripts/app.js"
import { watch, widgetOf } from "./parts.js"

// For each node the inputs that may be inert, and when they are: `is` tells whether another input has one of these
// values. The value of an input with a link is unknown, and makes nothing inert.
const PRESETS = ["draft", "standard", "fine", "reference"]
const WITHOUT_ETA = ["ddpm", "plms", "dpmpp_2m", "euler"]
const SAMPLING = {
    steps: (is) => is("preset", ...PRESETS),
    sampler: (is) => is("preset", ...PRESETS),
    eta: (is) => is("preset", "custom") && is("sampler", ...WITHOUT_ETA),
}
const INERT = {
    GlideSampler: SAMPLING,
    GlideUpsampler: SAMPLING,
    GlideInpaint: { ...SAMPLING, repaint_passes: (is) => is("hide_until", 0) },
    GlideSamplerSelect: { eta: (is) => is("sampler", ...WITHOUT_ETA) },
    GlideCrop: {
        crop_factor: (is) => is("squares", "next square"),
        square_side: (is) => is("squares", "whole mask", "each region"),
    },
    GlideStitch: { feather: (is) => is("blend", "hard", "poisson") },
    GlideThreshold: { threshold: (is) => is("mode", "clip", "off") },
}

const isLinked = (node, name) => node.inputs?.some((input) => input.name === name && input.link != null)

function inertInputs(node, rules) {
    const is = (name, ...values) => !isLinked(node, name) && values.includes(widgetOf(node, name)?.value)
    return Object.keys(rules).filter((name) => rules[name](is))
}

function grey(node, rules) {
    const inert = inertInputs(node, rules)
    for (const name of Object.keys(rules)) {
        const widget = widgetOf(node, name)
        if (widget) widget.disabled = inert.includes(name)
    }
    node.setDirtyCanvas?.(true, true)
}

app.registerExtension({
    name: "glide.inert",
    nodeCreated(node) {
        const rules = INERT[node.comfyClass]
        if (rules) watch(node, 0, () => inertInputs(node, rules).join(), () => grey(node, rules))
    },
})
