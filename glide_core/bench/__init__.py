"""Measurements of the models: ``glide bench``."""
