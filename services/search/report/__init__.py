"""The search report: one self-contained HTML page."""
