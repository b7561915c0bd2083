"""`python -m benchmarks`, which `make bench` runs: the figures of real models (models.py)."""

from __future__ import annotations

from benchmarks.models import main

if __name__ == "__main__":
    main()
