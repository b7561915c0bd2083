"""What a planned network costs beside memory: code bytes, instructions and cycles, modelled."""
