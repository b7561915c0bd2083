"""TinyNAS: search spaces, one-shot supernets and evolutionary search."""
