"""Boards: where an image runs."""
