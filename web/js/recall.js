// What a node showed in an earlier run, from the server's history. A page that was loaded anew knows nothing of it, and
// a run that takes a node from the cache tells nothing.

import { app } from "../../../scripts/app.js"
import { api } from "../../../scripts/api.js"

const MOST = 64 // runs that are looked through
const SEEDS = ["seed", "noise_seed"] // the page may choose new ones after each run

// The runs that the server knows, the newest first; none where it is away.
async function runs() {
    try {
        const found = await (await api.fetchApi(`/history?max_items=${MOST}`)).json()
        return Object.entries(found).reverse().map(([id, run]) => ({ id, graph: run.prompt[2], ...run }))
    } catch {
        return []
    }
}

// Is a node in two graphs for programs the same, with all that is before it? `besides` are inputs that may differ.
function same(one, other, id, besides, seen = new Set()) {
    if (seen.has(id)) return true
    seen.add(id)
    const [here, there] = [one[id], other[id]]
    if (!here || here.class_type !== there?.class_type) return false
    return Object.keys({ ...here.inputs, ...there.inputs }).every((name) => {
        const [a, b] = [here.inputs[name], there.inputs[name]]
        if (besides.includes(name)) return true
        return JSON.stringify(a) === JSON.stringify(b) && (!Array.isArray(a) || same(one, other, a[0], besides, seen))
    })
}

// What a run told of a node under a key, also by the nodes that it put into its place; the longest list is the last one.
function shown(run, id, key) {
    const lists = Object.entries(run.outputs)
        .filter(([node]) => (run.meta?.[node]?.display_node ?? node) === id)
        .map(([, output]) => output[key] ?? [])
    return lists.sort((a, b) => b.length - a.length)[0] ?? []
}

function newest(found, graph, id, key, besides) {
    const run = found.find((each) => shown(each, id, key).length && same(graph, each.graph, id, besides))
    return run ? shown(run, id, key) : null
}

// Tells nodes what they showed: after the workflow was opened, and after runs that took them from the cache.
//
// nodes: gives those that want to know; key: of their outputs; tell: is called with a node and its list.
export function recall(nodes, key, tell) {
    const cached = new Map() // run -> the nodes that it took from the cache

    api.addEventListener("execution_cached", ({ detail }) => cached.set(detail.prompt_id, detail.nodes.map(String)))
    api.addEventListener("execution_success", async ({ detail }) => {
        const taken = cached.get(detail.prompt_id) ?? []
        cached.clear()
        const here = nodes().filter((node) => taken.includes(String(node.id)))
        if (!here.length) return
        const found = await runs()
        const graph = found.find(({ id }) => id === detail.prompt_id)?.graph
        for (const node of graph ? here : []) {
            const list = newest(found, graph, String(node.id), key, [])
            if (list) tell(node, list)
        }
    })

    return async function opened() {
        if (!nodes().length) return
        const [{ output: graph }, found] = await Promise.all([app.graphToPrompt(), runs()])
        for (const node of nodes()) {
            const id = String(node.id)
            const list = newest(found, graph, id, key, []) ?? newest(found, graph, id, key, SEEDS)
            if (list) tell(node, list)
        }
    }
}
