"""The search report: one self-contained HTML page."""

from services.search.report.render import render_report

__all__ = ["render_report"]
