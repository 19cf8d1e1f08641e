"""GLIDE (Nichol et al. 2021, arXiv 2112.10741) in PyTorch: exact to the published models, independent of ComfyUI."""
