"""What the monitor knows, as validated data: sources, analytes, drugs, clearance, and the numbers of every rule.

Knowledge is TOML read elsewhere and handed in as tables. A site's own tables are laid over the default, key by key;
a table that holds a `value` replaces the one below it whole, so that a changed number brings its own source.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from monitor.times import parse_duration
from monitor.units import Quantity, parse_quantity

Table = dict[str, Any]
"""A TOML table as tomllib gives it, with `parse_float=Decimal`."""


class Problem(NamedTuple):
    """One thing wrong with knowledge: in which file, under which key, and why."""

    file: str
    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.reason}"


class KnowledgeError(ValueError):
    """Knowledge that cannot be used. `problems` names file, key and reason of each fault."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


# The vocabulary of the files ------------------------------------------------------------------------------------


def _known(kind: str) -> AfterValidator:
    def check(name: str, info: ValidationInfo) -> str:
        names: Mapping[str, object] = (info.context or {}).get(kind, {})
        if name not in names:
            raise ValueError(f"no such {kind[:-1]}")
        return name

    return AfterValidator(check)


def _drug(name: str, info: ValidationInfo) -> str:
    spellings: Mapping[str, str] = (info.context or {}).get("drug_names", {})
    if name not in spellings:
        raise ValueError("no such drug")
    return spellings[name]


SourceId = Annotated[str, _known("sources")]
AnalyteName = Annotated[str, _known("analytes")]
DrugName = Annotated[str, AfterValidator(_drug)]
Duration = Annotated[int, BeforeValidator(parse_duration)]
Tag = Literal["F", "K", "K?", "D"]
Severity = Literal["info", "warning", "critical"]
PositiveDecimal = Annotated[Decimal, Field(gt=0)]


class Entry(BaseModel):
    """Knowledge is closed: a key that nothing reads is an error, not a silent no-op."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, defer_build=True)


class Sourced(Entry):
    """Where a number comes from, and how sure that is (F confirmed, K standard, K? uncertain, D derived)."""

    source: SourceId
    tag: Tag
    note: str | None = None


class Span(Sourced):
    """A length of time."""

    value: Duration


class Number(Sourced):
    """A number without a unit."""

    value: Decimal


def _halves(value: Decimal) -> Decimal:
    if value * 2 % 1:
        raise ValueError("a difference in log10 is a multiple of 0.5")
    return value


class Decades(Sourced):
    """A difference in log10, in steps of 0.5 (whose squares are whole powers of ten, so that they compare exactly)."""

    value: Annotated[PositiveDecimal, AfterValidator(_halves)]

    @property
    def halves(self) -> int:
        """The difference in halves of a log10."""
        return int(self.value * 2)


def _rising(values: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
    if any(low >= high for low, high in itertools.pairwise(values)):
        raise ValueError("the numbers must rise from one to the next")
    return values


class Ladder(Sourced):
    """Several rising numbers without a unit."""

    value: Annotated[tuple[PositiveDecimal, ...], AfterValidator(_rising)]

    @property
    def rising(self) -> tuple[Decimal, ...]:
        """The numbers, least first."""
        return tuple(sorted(self.value))


class Amount(Sourced):
    """One quantity, with the cut-off of each unit in which it is defined; other units are converted."""

    value: tuple[Annotated[Quantity, BeforeValidator(parse_quantity)], ...] = Field(min_length=1)


class Dosage(Sourced):
    """A single quantity of a drug: `900 mg`, `6.6 mg/kg`."""

    value: Annotated[Quantity, BeforeValidator(parse_quantity)]


class Range(Sourced):
    """A least and a greatest plausible value, both included."""

    value: tuple[
        Annotated[Quantity, BeforeValidator(parse_quantity)], Annotated[Quantity, BeforeValidator(parse_quantity)]
    ]


class Source(Entry):
    """A publication, a label, or this project."""

    title: str


class Derives(Sourced):
    """A count that a percentage gives with another count of the same collection time."""

    count: AnalyteName
    of: AnalyteName


class Analyte(Entry):
    """One thing that a laboratory measures, under all its codes and units."""

    name: str
    loinc: dict[str, str]
    units: dict[str, PositiveDecimal] = Field(min_length=1)
    spellings: dict[str, str] = {}
    grades: dict[str, Annotated[Quantity, BeforeValidator(parse_quantity)]] = {}
    qualitative: bool = False
    log10: dict[str, str] = {}
    incommensurable: tuple[str, ...] = ()
    plausible: Range | None = None
    derives: Derives | None = None
    source: SourceId
    tag: Tag


class Course(Entry):
    """How administrations of one antiviral form courses, and what they are given for."""

    dosed_in: Literal["mg", "mg/kg"]
    intent: Literal["treatment", "prophylaxis", "by-dosing"]
    gap: Span
    usual: Span
    current: Span | None = None
    current_spaced: Span | None = None
    current_for: Span | None = None
    inherits: Span | None = None
    local_up_to: Dosage | None = None
    prophylaxis_apart: Span | None = None
    prophylaxis_up_to: Dosage | None = None
    prophylaxis_clear: Span | None = None


def _schedule(text: object) -> "Schedule":
    dose, _, every = text.partition(" every ") if isinstance(text, str) else ("", "", "")
    return Schedule(parse_quantity(dose), parse_duration(every))


class Schedule(NamedTuple):
    """A dose and its interval: `60 mg/kg every 8 h`."""

    dose: Quantity
    every: int


Column = tuple[Annotated[Schedule, BeforeValidator(_schedule)], ...]


class Band(Entry):
    """What the label permits at a clearance `over` a bound, or `from` it on, up to the next band."""

    over: Decimal | None = None
    from_: Decimal | None = Field(default=None, alias="from")
    induction: Column = Field(min_length=1)
    maintenance: Column = Field(min_length=1)

    @property
    def bound(self) -> Decimal:
        """The lower bound, whether it belongs to the band or not."""
        bound = self.over if self.over is not None else self.from_
        assert bound is not None
        return bound

    @model_validator(mode="after")
    def _one_bound(self) -> "Band":
        if (self.over is None) == (self.from_ is None):
            raise ValueError("a band has either `over` or `from`")
        return self


class RenalDosing(Entry):
    """A label's dosing by clearance, from the best kidney down. `spoken`: how the label says an interval."""

    index: Literal["mL/min", "mL/min/kg"]
    tolerance: Literal["share", "tablet"]
    tablet: Annotated[Quantity, BeforeValidator(parse_quantity)] | None = None
    bands: tuple[Band, ...] = Field(min_length=1)
    spoken: dict[str, str] = {}
    source: SourceId
    tag: Tag

    @model_validator(mode="after")
    def _falling(self) -> "RenalDosing":
        bounds = [band.bound for band in self.bands]
        if any(low >= high for high, low in itertools.pairwise(bounds)):
            raise ValueError("bands overlap: their bounds must fall from band to band")
        if (self.tolerance == "tablet") != (self.tablet is not None):
            raise ValueError("`tablet` goes with tolerance 'tablet'")
        return self


class Drug(Entry):
    """A drug under all its names and codes; with a `course` it is an antiviral that is watched."""

    names: tuple[str, ...] = ()
    rxnorm: tuple[str, ...] = ()
    ophthalmic: tuple[str, ...] = ()
    local_routes: tuple[str, ...] = ()
    course: Course | None = None
    renal: RenalDosing | None = None


class Routes(Entry):
    """Routes of administration: which count as systemic, which do not, and their spellings."""

    systemic: tuple[str, ...]
    local: tuple[str, ...]
    spellings: dict[str, str]


class Doses(Entry):
    """Units in which doses are charted. Masses in mg, masses per body weight in mg/kg, volumes in mL."""

    mass: dict[str, PositiveDecimal]
    per_kg: dict[str, PositiveDecimal]
    volume: dict[str, PositiveDecimal]
    other: tuple[str, ...]
    spellings: dict[str, str]


class Behavior(Entry):
    """What holds for every rule."""

    keep: Span
    ahead: Span
    charting_grace: Span
    watched_tail: Span
    joined_within: Span


class Renal(Entry):
    """Cockcroft-Gault and how old its inputs may be."""

    references: tuple[SourceId, ...]
    creatinine_age: Span
    creatinine_age_prophylaxis: Span
    weight_age: Span
    weight_age_at_most: Span
    adult_from_years: Number
    age_term: Number
    divisor: Number
    female_factor: Number
    near_band: Number
    induction_days: Number
    maintenance_window: Span
    maintenance_jitter: Span
    dose_tolerance: Number


class Baseline(Entry):
    """How the baseline creatinine of a course is chosen."""

    references: tuple[SourceId, ...]
    median_from: Span
    median_to: Span
    first_within: Span
    graft_settles: Span


class Viral(Entry):
    """Numbers that several virus rules share."""

    below_quantification_up_to: Amount
    quantifiable_within: Span
    peak_from: Span
    peak_to: Span
    treatment_days: Number
    after_therapy: Span
    refractory_rise: Decades
    slow_fall: Decades
    rebound_rise: Decades
    high: Amount
    low: Amount
    clear_apart: Span
    clear_series_within: Span
    quantifiable_before: Span

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if exceeds(self.low, self.high):
            raise ValueError("low lies above high")
        return self


_ORDER = (
    ("below", "recovered_once"),
    ("below", "recovered_twice"),
    ("above", "critical_from"),
    ("above", "critical_above"),
    ("too_little_up_to", "too_much_from"),
    ("from_day", "to_day"),
    ("gap", "given_up_after"),
)
"""Numbers of one rule of which the first may not lie above the second."""


def exceeds(one: Sourced, other: Sourced) -> bool:
    """Whether a number of knowledge lies above another, in any unit that both are given in."""
    limits = _by_unit(other)
    return any(unit in limits and value > limits[unit] for unit, value in _by_unit(one).items())


def _by_unit(one: Any) -> dict[str, Decimal]:  # noqa: ANN401 - each kind of number has a value of its own
    if isinstance(one, Amount | Dosage):
        return {part.unit: part.value for part in (one.value if isinstance(one, Amount) else (one.value,))}
    return {"": Decimal(one.value)}


Codes = Annotated[tuple[str, ...], BeforeValidator(lambda codes: (codes,) if isinstance(codes, str) else codes)]
"""One code or several."""


class RuleData(Entry):
    """What every rule's table has; each rule adds its own numbers. `monitored_by`: the overdue tests that watch it."""

    title: str
    condition: str = ""
    ends: str = ""
    references: tuple[SourceId, ...] = Field(min_length=1)
    monitored_by: Codes = ()
    advice: dict[Severity, str] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        fields = type(self).model_fields
        pairs = [(name, name.replace("critical_", "")) for name in fields if "critical_below" in name]
        for low, high in (*pairs, *_ORDER):
            lower, higher = getattr(self, low, None), getattr(self, high, None)
            if isinstance(lower, Sourced) and isinstance(higher, Sourced) and exceeds(lower, higher):
                raise ValueError(f"{low} lies above {high}")
        return self

    def suspect_limits(self, plan: Any) -> Any:  # noqa: ANN401 - the plan is built from this module
        """What makes a sample suspect: only the rule of suspect samples says so."""
        return None


class Tail(Entry):
    """How long after the last dose a patient counts as exposed."""

    tail: Span


class Knowledge(Entry):
    """Everything but the rules, whose tables each rule validates itself."""

    name: str
    sources: dict[str, Source]
    analytes: dict[str, Analyte]
    routes: Routes
    doses: Doses
    drugs: dict[str, Drug]
    behavior: Behavior
    renal: Renal
    baseline: Baseline
    viral: Viral
    rules: dict[str, Table]


# Laying tables over each other -----------------------------------------------------------------------------------

Path = tuple[str, ...]


class Layers(NamedTuple):
    """Tables laid over each other, and the file that each key was last set in."""

    table: Table
    origin: dict[Path, str]


def lay(files: list[tuple[str, Table]]) -> Layers:
    """The tables of several files as one: later files over earlier ones, key by key.

    Lists, and tables with a `value`, are replaced whole.
    """
    table: Table = {}
    origin: dict[Path, str] = {}
    for file, content in files:
        _lay_over(table, content, file, (), origin)
    return Layers(table, origin)


def _lay_over(below: Table, above: Table, file: str, path: Path, origin: dict[Path, str]) -> None:
    for key, value in above.items():
        here = (*path, key)
        origin[here] = file
        if isinstance(value, dict):
            known = below.get(key)
            if not isinstance(known, dict) or "value" in value:
                if key in below:
                    for old in [path for path in origin if path[: len(here)] == here and path != here]:
                        del origin[old]
                known = below[key] = {}
            _lay_over(known, value, file, here, origin)
        else:
            below[key] = value


def file_of(path: Path, origin: dict[Path, str]) -> str:
    """The file in which a key, or else the nearest table around it, was last set."""
    while path:
        if path in origin:
            return origin[path]
        path = path[:-1]
    return "knowledge"


def ruleset_of(table: Table) -> str:
    """Name and content hash of knowledge, independent of the order of its keys."""
    canonical = json.dumps(table, sort_keys=True, default=str, separators=(",", ":"))
    return f"{table.get('name', 'unnamed')}+sha256:{hashlib.sha256(canonical.encode()).hexdigest()[:16]}"


def numbers_in(table: Table, path: Path = ()) -> Iterator[tuple[Path, Table]]:
    """Every sourced number below a table, with its path."""
    for key, value in table.items():
        if isinstance(value, dict):
            if "value" in value:
                yield (*path, key), value
            else:
                yield from numbers_in(value, (*path, key))
