"""The kinds of rows on which original and graph are compared, as the report calls them."""

from __future__ import annotations

REAL = "real rows"
THRESHOLD = "on split thresholds"
MISSING = "missing values"
UNSEEN = "unseen categories"
