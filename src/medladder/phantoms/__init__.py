"""Drawn cohorts with known truth: radiographs, brain slices and blood cells, any number of images."""

from .drawn import DrawnCohort, Phantom, draw, draw_batches, known

__all__ = ["DrawnCohort", "Phantom", "draw", "draw_batches", "known"]
