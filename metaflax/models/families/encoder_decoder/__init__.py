"""Encoder-decoders of two BERTs."""
