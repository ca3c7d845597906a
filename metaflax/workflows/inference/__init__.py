"""Adapts, predicts, explains and exports."""
