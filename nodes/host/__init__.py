"""The adapter to ComfyUI: everything that touches its internals is in this folder, and nothing else is."""
