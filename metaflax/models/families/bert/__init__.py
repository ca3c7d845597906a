"""BERT encoders."""
