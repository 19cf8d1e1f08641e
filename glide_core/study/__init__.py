"""Studies: what an option, a prompt or a model does, shown as grids of pictures with figures, on one page."""
