"""How a network is cut into stages, and which cut is taken: what stages need of memory, what they cost, the search."""
