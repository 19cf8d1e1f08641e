"""Editing photos of any size: squares cut out of them, painted, and blended back."""
