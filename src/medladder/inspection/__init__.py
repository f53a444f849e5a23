"""What a fitted network's layers do: measured on the network itself, beside the same network at random weights."""

NETWORKS = 10
"""Independently trained networks that a claim about depth needs."""
