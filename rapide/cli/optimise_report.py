"""What ``rapide optimise`` shows: one line for each variant, and what was decided."""

from __future__ import annotations

from collections.abc import Sequence

from rapide.cli.tables import print_table, size_text
from rapide.converters.optimise.optimise import Optimised, Tried


def print_optimised(optimised: Optimised, label: str = "") -> None:
    """The table of variants and the summary, on standard output. ``label``: what a new version was given."""
    sizes = sorted({rows for each in optimised.tried for rows in each.latency_us})
    columns = (
        "variant",
        "size",
        "load",
        "memory",
        *(f"{rows} row{'s' * (rows != 1)}" for rows in sizes),
        "loss",
        "",
    )
    rows = [_row(each, sizes) for each in optimised.tried if each.trial]
    print_table(columns, rows, right=frozenset(columns[1:-1]))
    print()
    for each in optimised.tried:
        if each.verdict:
            print(f"{each.name:<16}{each.verdict.reason}")
    print()
    parent = f"{optimised.parent.model} version {optimised.parent.version}"
    if optimised.version is None:
        print(f"Nothing was published: {parent} stands as it is. It took {optimised.elapsed_s:.1f} s.")
        return
    default = next(each.name for each in optimised.tried if each.verdict and each.verdict.is_default)
    print(f"published {optimised.parent.model} version {optimised.version} in {optimised.folder}")
    print(f"parent    version {optimised.parent.version}")
    print(f"default   {default}, as model.onnx")
    if label:
        print(f"label     {label}")
    print(f"took      {optimised.elapsed_s:.1f} s")
    print(f"\nNext: rapide serve {optimised.options.repository}")


def _row(tried: Tried, sizes: Sequence[int]) -> tuple[str, ...]:
    verdict = tried.verdict
    mark = "" if verdict is None else "default" if verdict.is_default else "kept" if verdict.is_kept else "–"
    trial = tried.trial
    return (
        tried.name,
        size_text(trial["bytes"]),
        f"{trial['load_ms']:.3g} ms",
        size_text(trial["memory_bytes"]),
        *(time_text(tried.latency_us.get(rows)) for rows in sizes),
        loss_text(tried),
        mark,
    )


def loss_text(tried: Tried) -> str:
    """The greatest loss and what it is, or that there is none."""
    if tried.trial["is_exact"]:
        return "none"
    measure, _, loss = max(tried.losses, key=lambda each: each[2])
    return f"{loss:.2g} {measure}"


def time_text(us: float | None) -> str:
    """``17 µs``, ``5.5 ms``; empty for none."""
    if us is None:
        return ""
    return f"{us / 1000:.3g} ms" if us >= 1000 else f"{us:.3g} µs"
