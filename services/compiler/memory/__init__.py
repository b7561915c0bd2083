"""Arena planning: live ranges and overlap rules in, byte offsets out."""
