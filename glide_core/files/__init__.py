"""Checkpoints on disk: finding, reading, checking, saving and downloading them."""
