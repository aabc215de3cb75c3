"""What whoever reads a tuning's result should know beside the choice."""

from __future__ import annotations

from rapide.tuning import busyness
from rapide.tuning.found import Found, setting_of
from rapide.tuning.needed import needed
from rapide.tuning.proof import Proof


def note(found: Found) -> None:
    """What whoever reads the result should know."""
    request = found.request
    if request.arrivals.count * (1 - request.slo.main.percent / 100) < 1:
        found.notes.append(
            f"The profile's busiest part has {request.arrivals.count} requests: of so few, "
            f"{request.slo.main.name} is the slowest one. Save a profile of more traffic."
        )
    if max(found.others_before, found.others_meanwhile) > busyness.BUSY:
        found.notes.append(
            f"This machine was busy with other work ({found.others_before:.0%} of its cores before it began, "
            f"{found.others_meanwhile:.0%} while it ran): figures and choice are less sure. Tune again when "
            "it is idle, with --fresh, or what was measured now is used again."
        )
    chosen, simulated = found.proof_of(found.chosen), found.candidate_of(found.chosen)
    if chosen is not None:
        if chosen.limited:
            found.notes.append(f"The load generator limited what was measured: {chosen.limited}.")
        if found.speed != 1.0:
            found.notes.append(
                f"Replayed at {found.speed:.3g} times the recorded load ({found.load.rate_per_s:.0f}/s), between "
                "what the defaults and the best candidate survive by simulation."
            )
            if not any(one.holds(request.slo) for one in found.proofs):
                found.notes.append(f"Nothing held {request.slo} at that load, so nothing was chosen by it.")
        recorded = next((one for one in found.as_recorded if one.configuration == found.chosen), None)
        if recorded is not None and not recorded.holds(request.slo):
            found.notes.append(_missed(found, recorded))
    elif simulated is not None and not request.slo.holds(simulated.outcome.latency_s):
        found.notes.append(needed(setting_of(found), found.tried, simulated.percentile_s))
    found.notes += request.left_out
    found.notes += [f"Not measured: {reason}" for reason in found.failed]


def _missed(found: Found, chosen: Proof) -> str:
    """What was chosen missed the SLO under the recorded load: what held it, or would."""
    held = [one.configuration.words for one in found.as_recorded if one.holds(found.request.slo)]
    if not held:
        return needed(setting_of(found), found.tried, chosen.percentile_s)
    why = "was not better in every round" if found.speed == 1.0 else "was not compared at this load"
    return (
        f"The choice missed {found.request.slo} in its median round. What held it {why}: {'; '.join(held)}. Tune "
        "again when the machine is quieter, or with more time (--within)."
    )
