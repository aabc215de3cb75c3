"""The names of losses and how much of each is accepted, unless somebody says otherwise. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rapide.converters.errors import ConversionError

METRIC = "metric"
FLIPS = "flips"
PROBABILITY = "probability"
SPREAD = "spread"
COSINE = "cosine"

DEFAULT_LIMITS: Mapping[str, float] = {
    METRIC: 0.005,
    FLIPS: 0.005,
    PROBABILITY: 0.01,
    SPREAD: 0.01,
    COSINE: 0.01,
}
"""Half a point of accuracy; one label in 200; a hundredth of probability or of the answers' spread; a cosine of
0.99."""

MEANINGS: Mapping[str, str] = {
    METRIC: "what a quality metric loses (of its value; mae, rmse, max_error and log_loss: of their own size)",
    FLIPS: "share of the labels that become others",
    PROBABILITY: "how far a row's probabilities move, on average over rows",
    SPREAD: "root mean square difference, in standard deviations of the original's answers",
    COSINE: "1 − the worst cosine between a row's vector and the original's",
}


def read_limits(texts: Sequence[str]) -> dict[str, float]:
    """``DEFAULT_LIMITS`` changed by texts such as ``cosine=0.02``, or ``0.02`` for all measures.

    Raises ConversionError, naming the text.
    """
    limits = dict(DEFAULT_LIMITS)
    for text in texts:
        name, equals, number = text.rpartition("=")
        try:
            limit = float(number)
        except ValueError:
            limit = -1.0
        if not 0 <= limit <= 1 or (equals and name not in limits):
            raise ConversionError(
                f"--max-loss {text[:40]!r} is neither a number from 0 to 1 nor MEASURE=NUMBER",
                hint=f"Measures: {', '.join(limits)}. For example --max-loss cosine=0.02.",
            )
        limits.update({name: limit} if equals else dict.fromkeys(limits, limit))
    return limits
