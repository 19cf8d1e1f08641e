// A picture of a contact sheet as large as its pixels allow, over the page.

import { button, COLOURS, element, say } from "./parts.js"

const STEP = 1.25 // of the mouse wheel
const LARGEST = 32 // screen pixels for one of the picture's

// Shows what `at(place)` gives, {src, title}, for places from 0 to count - 1; `moved` hears which one is shown.
export function zoom(place, count, at, moved) {
    const picture = element("img", { imageRendering: "pixelated", display: "block", margin: "0 auto" })
    const stage = element("div", { overflow: "auto", maxWidth: "94vw", maxHeight: "82vh" }, "", picture)
    const title = element("div", { flex: "1", overflowWrap: "anywhere" })
    const bar = element(
        "div",
        { display: "flex", gap: "8px", alignItems: "center", padding: "8px 0 0" },
        "",
        button("\u2039", () => go(place - 1)),
        title,
        button("\u203a", () => go(place + 1)),
        button(say("close", "Close"), () => dialog.close()),
    )
    const dialog = element(
        "dialog",
        {
            border: `1px solid ${COLOURS.border}`,
            borderRadius: "8px",
            background: COLOURS.ground,
            color: COLOURS.text,
            padding: "12px",
            fontSize: "13px",
        },
        "",
        stage,
        bar,
    )
    dialog.dataset.testid = "glide-zoom"
    let scale = 1

    function resize(to) {
        scale = Math.min(LARGEST, Math.max(1 / 8, to))
        picture.style.width = `${picture.naturalWidth * scale}px`
    }

    function go(to) {
        place = (to + count) % count
        const shown = at(place)
        picture.src = shown.src
        picture.alt = title.textContent = shown.title
        moved(place)
    }

    picture.addEventListener("load", () => {
        const room = Math.min(
            (0.94 * innerWidth - 40) / picture.naturalWidth,
            (0.82 * innerHeight - 20) / picture.naturalHeight,
        )
        resize(room > 1 ? Math.floor(room) : room) // whole screen pixels show every pixel alike
    })
    stage.addEventListener("wheel", (event) => {
        event.preventDefault()
        resize(scale * (event.deltaY < 0 ? STEP : 1 / STEP))
    })
    dialog.addEventListener("keydown", (event) => {
        event.stopPropagation() // the canvas has its own meaning for keys
        const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
        if (step) go(place + step)
        if (event.key === "+") resize(scale * 2)
        if (event.key === "-") resize(scale / 2)
    })
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close())
    dialog.addEventListener("close", () => dialog.remove())
    document.body.append(dialog)
    go(place)
    dialog.showModal()
}
