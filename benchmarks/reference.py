"""OpenAI's implementation, under the name by which the scripts here know it."""

from glide_core.bench.reference import load_reference, reference_model

__all__ = ["load_reference", "reference_model"]
