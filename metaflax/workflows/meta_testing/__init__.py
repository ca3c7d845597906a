"""Evaluates runs and compares them."""
