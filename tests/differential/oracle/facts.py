"""What is known of one patient at one clock: results, loads, doses, statements, and how they are asked for."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from . import tables as tb

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(text: str) -> int:
    """Return an ISO 8601 time as microseconds since 1970."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def iso(at: int) -> str:
    return (EPOCH + timedelta(microseconds=at)).isoformat().replace("+00:00", "Z")


def number(value: Any) -> Fraction:
    """Return a JSON number as the decimal that was written."""
    return Fraction(str(value))


@dataclass(frozen=True)
class Result:
    """One result of one analyte at one collection time."""

    analyte: str
    at: int
    scale: Fraction  # on the analyte's scale
    sign: str = ""  # "<", ">" or plain
    unit: str = ""  # as reported; the scale's own where units were mixed

    def cut(self, conventional: str) -> Fraction:
        """Return the cut-off for this result on the analyte's scale: the SI one for an SI result."""
        limit = Fraction(conventional)
        if self.unit in tb.SI_UNITS.get(self.analyte, ()) and (self.analyte, limit) in tb.SI_CUT:
            return tb.SI_CUT[self.analyte, limit]
        return limit * tb.CONVENTIONAL[self.analyte]

    def below(self, limit: Fraction) -> bool | None:
        """Say whether the value is < limit; None where a censored value does not tell."""
        if self.sign == "<":
            return True if self.scale <= limit else None
        if self.sign == ">":
            return False if self.scale >= limit else None
        return self.scale < limit


@dataclass(frozen=True)
class Load:
    """One CMV DNA result. kind: clear (not detected, below quantification), number, detected (bare), pass."""

    at: int
    code: str
    unit: str | None
    kind: str
    value: Fraction
    recorded: int
    above: bool = False  # `>x`: the value is x, and the load lies above it

    def log(self) -> bool:
        return self.unit in (tb.LOG_IU, tb.LOG_COPIES)

    def iu_at_least(self, limit: int) -> bool:
        if self.kind != "number":
            return False
        if self.unit == tb.IU:
            return self.value >= limit
        return self.unit == tb.LOG_IU and self.value >= log10(limit)


def log10(limit: int) -> Fraction:
    with localcontext() as context:
        context.prec = 60
        return Fraction(Decimal(limit).log10())


def above(high: Load, low: Load) -> Fraction:
    """Return the ratio of two loads of one series, as a linear number or, in log units, as a difference."""
    return high.value - low.value if high.log() else high.value / low.value


def at_least_log(high: Load, low: Load, half_logs: int) -> bool:
    """Say whether one load is at least so many half log10 above the other."""
    if high.log():
        return high.value - low.value >= Fraction(half_logs, 2)
    return high.value**2 >= low.value**2 * 10**half_logs


def more_than_log(high: Load, low: Load) -> bool:
    return high.value - low.value > 1 if high.log() else high.value > 10 * low.value


@dataclass(frozen=True)
class Dose:
    """All administrations of one drug with one start."""

    drug: str
    at: int
    end: int | None
    recorded: int
    mg: Fraction
    mg_per_kg: Fraction
    known: bool  # every part has an amount in mg or mg/kg
    iv: bool
    label: str | None


@dataclass(frozen=True)
class Fluid:
    drug: str
    at: int
    end: int | None
    ml: Fraction


@dataclass
class Case:
    """What is known of one patient when the clock stands at `until`."""

    until: int
    results: dict[str, list[Result]] = field(default_factory=dict)
    series: dict[tuple[str, str | None], list[Load]] = field(default_factory=dict)
    loads: list[Load] = field(default_factory=list)
    raw: list[tuple[int, str, Fraction | None, bool]] = field(default_factory=list)  # at, analyte, scale, plausible
    suspect: set[int] = field(default_factory=set)
    doses: dict[str, list[Dose]] = field(default_factory=dict)
    iv_doses: dict[str, list[Dose]] = field(default_factory=dict)
    fluids: list[Fluid] = field(default_factory=list)
    events: list[int] = field(default_factory=list)
    birth: date | None = None
    sex: str | None = None
    donor: str | None = None
    recipient: str | None = None
    transplants: list[tuple[int | None, int, str]] = field(default_factory=list)
    dialysis: list[tuple[int, bool]] = field(default_factory=list)
    hiv: list[tuple[int, bool]] = field(default_factory=list)
    memo: dict[Any, Any] = field(default_factory=dict)

    def of(self, analyte: str, start: int | None = None, end: int | None = None) -> list[Result]:
        """Return the results collected from start to end, both included."""
        found = self.results.get(analyte, [])
        return [r for r in found if (start is None or r.at >= start) and (end is None or r.at <= end)]

    def latest(self, analyte: str, t: int, start: int | None = None, *, plain: bool = False) -> Result | None:
        for r in reversed(self.results.get(analyte, [])):
            if r.at <= t and not (plain and r.sign):
                return r if start is None or r.at >= start else None
        return None

    def at(self, analyte: str, t: int) -> Result | None:
        found = self.latest(analyte, t)
        return found if found and found.at == t else None

    def times(self, *analytes: str) -> set[int]:
        return {r.at for a in analytes for r in self.results.get(a, [])}

    def given(self, drug: str, *, iv: bool = False) -> list[Dose]:
        return (self.iv_doses if iv else self.doses).get(drug, [])

    def dose_times(self, *drugs: str) -> set[int]:
        return {d.at for drug in drugs for d in self.given(drug)}

    def count(self, drug: str, t: int) -> int:
        key = "times", drug
        if key not in self.memo:
            self.memo[key] = [d.at for d in self.given(drug)]
        return bisect_right(self.memo[key], t)

    def last_dose(self, drug: str, t: int, *, iv: bool = False) -> Dose | None:
        if not iv:
            n = self.count(drug, t)
            return self.given(drug)[n - 1] if n else None
        return max((d for d in self.given(drug, iv=iv) if d.at <= t), key=lambda d: d.at, default=None)

    def dose_in(self, drug: str, start: int, end: int, *, iv: bool = False) -> bool:
        return any(start <= d.at <= end for d in self.given(drug, iv=iv))

    def last_of(self, drugs: Iterable[str], t: int) -> Dose | None:
        """Return the dose given last among several drugs; of two at one time the first by name."""
        doses = [d for d in (self.last_dose(drug, t) for drug in sorted(drugs)) if d]
        return max(doses, key=lambda d: d.at, default=None)

    def exposed(self, drugs: Iterable[str], t: int, tail: int) -> bool:
        last = self.last_of(drugs, t)
        return last is not None and t - last.at <= tail

    def on_dialysis(self, t: int) -> bool:
        return stated(self.dialysis, t)

    def has_hiv(self, t: int) -> bool:
        return stated(self.hiv, t)

    def transplant(self, t: int) -> tuple[str, int | None]:
        """Return the kind and the time of the transplant that holds at t."""
        kind, at = "none", None
        for since, _, what in sorted(self.transplants, key=lambda x: (x[0] is not None, x[0] or 0, x[1])):
            if since is None or since <= t:
                kind, at = what, since
        return kind, at


def stated(statements: list[tuple[int, bool]], t: int) -> bool:
    held = [value for at, value in sorted(statements) if at <= t]
    return bool(held) and held[-1]
