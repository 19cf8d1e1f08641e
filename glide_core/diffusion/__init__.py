"""Sampling: noise schedules, samplers, guidance, inpainting, and models on large pictures or as CUDA graphs."""
