"""Where the real models and what TensorFlow Lite Micro computed of them are, beside the project."""

from __future__ import annotations

from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared"
SHARED_MODELS = SHARED / "models"
GOLDEN = SHARED / "golden"
