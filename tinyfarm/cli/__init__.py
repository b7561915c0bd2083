"""The tinyfarm command."""
