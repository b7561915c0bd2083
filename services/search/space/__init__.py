"""Search spaces: what may be chosen, one choice as a value, and the network it stands for."""
