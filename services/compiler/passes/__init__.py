"""Rewrites of graphs, one a file; `optimize.py` lists them in the order they run."""
