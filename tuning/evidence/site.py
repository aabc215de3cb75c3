"""Where a request's servers are, and the rows that they are asked with, for replays beside a tuning's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rapide.server.model import SessionOptions, load_model
from rapide.tuning import sample_rows
from rapide.tuning.found import Request
from rapide.tuning.served import Site
from rapide.tuning.work_folder import work_folder


@contextmanager
def site_of(request: Request) -> Iterator[Site]:
    """With the rows that the request's tuning measures with."""
    entry = request.entry
    model = load_model(entry, SessionOptions())
    with work_folder("rapide-rows-") as folder:
        rows_file = folder / "rows.npz"
        pool = sample_rows.pool_of(entry, model, request.inputs)
        sample_rows.save(pool, model.signature, rows_file, int(request.arrivals.rows.max()))
        yield request.site(rows_file)
