"""Drawn twins of the sources: phantoms in each owner's layout, for demos and tests."""
