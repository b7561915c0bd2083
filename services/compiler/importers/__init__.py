"""Model files to graphs, and the rules of what can be compiled."""
