"""Process plumbing and chip facts that more than one service uses."""
