"""Cycle models of the cores."""
