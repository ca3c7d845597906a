"""Draws episodes, one sampler for each kind of target."""
