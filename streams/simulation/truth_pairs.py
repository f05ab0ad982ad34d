"""Two drugs that truly met: combinations that harm the kidney, interactions, and one antiviral given beside another."""

from collections.abc import Iterator
from typing import Final

from streams.simulation.body import NEPHROTOXINS
from streams.simulation.clock import DAY, HOUR
from streams.simulation.courses import Span, TrueCourse
from streams.simulation.diary import Diary, Given, Happened

# One drug, the other, how severe; both within 24 h, until either has not been given for 48 h.
_INTERACTIONS: Final = (
    ("ganciclovir", "imipenem", "warning"),
    ("valganciclovir", "imipenem", "warning"),
    ("ganciclovir", "zidovudine", "warning"),
    ("valganciclovir", "zidovudine", "warning"),
    ("letermovir", "rifampin", "warning"),
    ("maribavir", "rifampin", "warning"),
    ("foscarnet", "ondansetron", "info"),
    ("foscarnet", "haloperidol", "info"),
    ("foscarnet", "levofloxacin", "info"),
)


def pair_truths(diary: Diary, courses: list[TrueCourse]) -> Iterator[Happened]:
    """Every pair of drugs that should not have met."""
    doses = diary.doses
    for one, other, severity in _INTERACTIONS:
        for start, end in _meetings(doses.get(one, []), doses.get(other, []), DAY, 2 * DAY):
            yield Happened("interaction", one, start, end, severity, f"given with {other}")
    if doses.get("letermovir") and doses.get("simvastatin") and doses.get("ciclosporin"):
        for start, end in _meetings(doses["letermovir"], doses["simvastatin"], DAY, 2 * DAY):
            if any(start - DAY <= one.start <= end for one in doses["ciclosporin"]):
                yield Happened(
                    "interaction", "letermovir", start, end, "critical", "given with simvastatin, ciclosporin"
                )
    for toxin in NEPHROTOXINS:
        for start, end in _meetings(doses.get("foscarnet", []), doses.get(toxin, []), DAY, 2 * DAY):
            yield Happened("nephrotoxic-combination", "foscarnet", start, end, "warning", f"given with {toxin}")
    for toxin in (*NEPHROTOXINS, "foscarnet"):
        for start, end in _meetings(doses.get("cidofovir", []), doses.get(toxin, []), 7 * DAY, 7 * DAY):
            yield Happened("nephrotoxic-combination", "cidofovir", start, end, "critical", f"{toxin} within 7 d")
    yield from _beside("maribavir-ganciclovir", courses, "maribavir", ("ganciclovir", "valganciclovir"))
    yield from _beside("duplicate-ganciclovir", courses, "ganciclovir", ("valganciclovir",))


def _meetings(first: list[Given], second: list[Given], within: int, lasts: int) -> Iterator[Span]:
    """From a dose that makes two drugs meet, until either has been absent for too long."""
    if not first or not second:
        return
    rows = sorted([(one.start, 0) for one in first] + [(one.start, 1) for one in second])
    last: list[int | None] = [None, None]
    began = None
    for at, which in rows:
        a, b = last
        if began is not None and a is not None and b is not None and at > min(a, b) + lasts:
            yield began, min(a, b) + lasts
            began = None
        last[which] = at
        other = last[1 - which]
        if began is None and other is not None and at - other <= within:
            began = at
    a, b = last
    if began is not None and a is not None and b is not None:
        yield began, min(a, b) + lasts


def _beside(code: str, courses: list[TrueCourse], drug: str, others: tuple[str, ...]) -> Iterator[Happened]:
    """Two antivirals interleaved, the outer doses more than 24 h apart; a hand-over is none."""
    for one in courses:
        for other in courses:
            if one.drug != drug or other.drug not in others:
                continue
            start = min(filter(None, (_interleaved(one, other), _interleaved(other, one))), default=None)
            if start is not None:
                why = f"{one.drug} and {other.drug} given side by side"
                yield Happened(code, one.drug, start, min(one.over, other.over), "critical", why)


def _interleaved(outer: TrueCourse, inner: TrueCourse) -> int | None:
    """The dose of the outer course that closes around one of the inner."""
    for dose in inner.doses:
        before = outer.before(dose.start)
        if before is None:
            continue
        after = next(
            (one.start for one in outer.doses if one.start >= max(dose.start, before.start + 24 * HOUR + 1)), None
        )
        if after is not None:
            return after
    return None
