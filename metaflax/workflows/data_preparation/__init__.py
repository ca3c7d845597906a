"""Prepares data and new models for meta-training."""
