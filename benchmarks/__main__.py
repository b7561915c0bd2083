"""`make bench`."""

from __future__ import annotations

from benchmarks.models import main

if __name__ == "__main__":
    main()
