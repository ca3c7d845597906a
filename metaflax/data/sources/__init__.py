"""Reads labelled text from files and data sets, and splits it."""
