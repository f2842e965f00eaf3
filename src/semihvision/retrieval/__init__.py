"""Embedders, the hnswlib index and the guidelines corpus."""
