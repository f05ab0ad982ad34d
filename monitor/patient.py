"""One patient's facts, kept so that any moment can be judged: for each analyte and each drug, parallel arrays in
order of clinical time.

Of several versions with one identity the greatest holds. A change of facts says from which clinical time on verdicts
may differ (`touch`); nothing is judged here.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction

import msgspec

from monitor.plan import DIALYSIS, HIV, ODD, PERSON, TRANSPLANT, Plan
from monitor.times import ALWAYS, NEVER, Time, age_span
from monitor.types import Act, Dose, Episode, Fact, Fold, Lab, Pending, Person, Rule, Saying


class Series(msgspec.Struct, gc=False, eq=False):
    """The valid results of one analyte: at each collection time one point. `v` is on the analyte's scale."""

    t: list[Time] = []
    v: list[int] = []
    x: list[Lab] = []

    def last(self, t: Time) -> int:
        """The index of the last result collected at or before `t`, or -1."""
        times = self.t
        if times and times[-1] <= t:
            return len(times) - 1
        return bisect_right(times, t) - 1


class DoseState(msgspec.Struct, gc=False, frozen=True):
    """Where a course stands with one of its doses, as judged from the facts up to it (alerts.md, "Words").

    `other_phase`: its last dose, if any, on the other side of the change between maintenance and all else.
    """

    start: Time
    count: int
    days: int
    period: int
    intent: int
    stated: bool
    phase: int
    interval: Time
    current_until: Time
    course_until: Time
    induction_days: int
    reads_renal: bool
    other_phase: Time


Size = int | Fraction
"""What a dose amounts to, exactly; a fraction where a weight does not divide it."""


class Given(msgspec.Struct, gc=False, eq=False):
    """The systemic doses of one drug that were given, one entry for each start time.

    For an antiviral also the size of each, in millionths of mg or mg/kg as its label doses it (None where it cannot be
    known), and the course as it stood with it.
    """

    t: list[Time] = []
    x: list[Dose] = []
    m: list[Size | None] = []
    s: list[DoseState] = []

    def last(self, t: Time) -> int:
        """The index of the last dose started at or before `t`, or -1."""
        times = self.t
        if times and times[-1] <= t:
            return len(times) - 1
        return bisect_right(times, t) - 1


class AtDose(msgspec.Struct, gc=False, frozen=True, eq=False):
    """A drug's last dose at the moment `t`. `now`: it starts at just this moment. `over`: one microsecond past its
    course.
    """

    t: Time
    given: Given
    i: int
    dose: Dose
    state: DoseState
    now: bool
    over: Time


class Baseline(msgspec.Struct, gc=False, frozen=True):
    """A course's baseline creatinine: twice its size on the analyte's scale (a median of two stays exact)."""

    twice: int
    unit: int
    how: str
    labs: tuple[Lab, ...]


class Clearance(msgspec.Struct, gc=False, frozen=True, eq=False):
    """A clearance in millionths of mL/min or mL/min/kg, rounded down, and what it rests on.

    `low` and `high` differ only where the sex is not known as female or male: by the factor for women and without it.
    """

    low: int
    high: int
    creatinine: Lab
    weight: Lab | None
    age: int
    sex: str | None


class Reading(msgspec.Struct, gc=False):
    """A viral load as the virus rules read it, with the joined therapy as it stood then (monitor/virology.py)."""

    lab: Lab
    at: Time
    state: int
    series: tuple[str, int]
    log: bool
    therapy: "TherapyState | None"
    treated: bool
    before: "Reading | None"


Course = tuple[int, Time]
"""A drug and its course's first dose."""


class TherapyState(msgspec.Struct, gc=False, frozen=True):
    """A joined therapy as it stood with one dose: its start, its treatment days, that dose, its courses, and since
    when it had gone on without a break.
    """

    start: Time
    days: int
    period: int
    last: Time
    courses: frozenset[Course]
    unbroken: Time


class Therapies(msgspec.Struct, gc=False, eq=False):
    """The treatment doses, each with its joined therapy, as they are read from a moment on (monitor/therapy.py)."""

    since: Time = ALWAYS
    t: list[Time] = []
    x: list[TherapyState] = []


class Rows(msgspec.Struct, gc=False, eq=False):
    """Facts as bytes: blocks of many that are done with, and the rows of the block that is begun."""

    blocks: list[bytes] = []
    rows: list[bytes] = []

    def clear(self) -> None:
        """Forgets all: a fact was replaced or forgotten."""
        self.blocks.clear()
        self.rows.clear()


class Packing(msgspec.Struct, gc=False, eq=False):
    """What of a patient's bytes is done already (monitor/state.py).

    Texts by their number, facts, and rows that this ruleset cannot read, kept for one that can.
    """

    strings: dict[str, int] = {}
    labs: Rows = msgspec.field(default_factory=Rows)
    doses: Rows = msgspec.field(default_factory=Rows)
    unread_labs: list[bytes] = []
    unread_doses: list[bytes] = []


class Patient:
    """One patient: the facts, what was judged of them so far, and what waits.

    `wakes`: the folds that time alone may change, each with when; `due` is the earliest.
    `kept_from`: what happened before is frozen and its facts may be gone. `outbox`: changes said and not yet known to
    be sent. `sayings`: what was said under rules that are not in force for the patient now.
    """

    __slots__ = (
        "acted",
        "acts",
        "age",
        "alarms",
        "at_dose",
        "baseline_until",
        "baselines",
        "birth",
        "clearances",
        "cleared",
        "clock",
        "dialysis",
        "dirty",
        "donor",
        "dose_facts",
        "dose_groups",
        "due",
        "folds",
        "given",
        "hiv",
        "id",
        "inbox",
        "judging",
        "kept_from",
        "lab_facts",
        "lab_groups",
        "listen",
        "memo",
        "news",
        "not_given",
        "odd",
        "outbox",
        "packing",
        "people",
        "plan",
        "present",
        "prune_at",
        "readings",
        "recipient",
        "restate",
        "sayings",
        "series",
        "sex",
        "suspects",
        "therapies",
        "therapy_from",
        "transplants",
        "treated",
        "wakes",
    )

    def __init__(self, plan: Plan, patient_id: str) -> None:
        self.plan = plan
        self.id = patient_id
        self.clock: Time = ALWAYS
        self.inbox: list[Pending] = []
        self.kept_from: Time = ALWAYS
        self.prune_at: Time = ALWAYS
        self.outbox: list[bytes] = []
        self.sayings: list[Saying] = []
        self.packing: Packing | None = None
        self.lab_facts: dict[str, Lab] = {}
        self.dose_facts: dict[str, Dose] = {}
        self.people: dict[str, Person] = {}
        self.acts: dict[str, Act] = {}
        self.acted = False
        self.series: list[Series | None] = [None] * len(plan.analytes)
        self.odd: dict[int, Series] = {}
        self.suspects: list[Time] = []
        self.lab_groups: dict[tuple[int, Time], list[Lab]] = {}
        self.given: dict[int, Given] = {}
        self.at_dose: dict[int, AtDose] = {}
        self.not_given: dict[int, list[tuple[Time, str]]] = {}
        self.dose_groups: dict[tuple[int, Time], list[Dose]] = {}
        self.birth: Time | None = None
        self.clearances: dict[bool, Clearance] = {}
        self.cleared: tuple[tuple[Time, bool, Time], Clearance | str] | None = None
        self.age: tuple[Time, Time, int] = (NEVER, ALWAYS, 0)
        self.sex: str | None = None
        self.donor: str | None = None
        self.recipient: str | None = None
        self.transplants: list[tuple[Time, str]] = []
        self.dialysis: list[tuple[Time, bool]] = []
        self.hiv: list[tuple[Time, bool]] = []
        self.present: set[int] = set()
        self.folds: dict[int, Fold] = {}
        self.listen: dict[int, tuple[list[Fold], list[Fold], list[Fold]]] = defaultdict(_nobody)
        self.dirty: dict[Fold, Time] = {}
        self.judging: Fold
        self.restate: dict[int, Time] = {}
        self.wakes: dict[Fold, Time] = {}
        self.due: Time = NEVER
        self.alarms: dict[Fold, Time] = {}
        self.news: list[tuple[Fact, Fact | None]] = []
        self.baselines: dict[tuple[int, Time], Baseline | None] = {}
        self.baseline_until: Time = ALWAYS
        self.therapies: list[Therapies] = [Therapies()]
        self.treated: list[Time] = []
        self.therapy_from: Time | None = None
        self.readings: list[Reading] | None = None
        self.memo: dict[str, object] = {}

    def times_of(self, source: int) -> list[Time]:
        """The clinical times, rising, at which an input of a rule has something new."""
        plan = self.plan
        if source < 0:
            if source == ODD:
                return self.suspects
            if source == TRANSPLANT:
                return [at for at, _ in self.transplants]
            changes = self.dialysis if source == DIALYSIS else self.hiv if source == HIV else []
            return [at for at, _ in changes]
        labs, drugs = len(plan.analytes), len(plan.drugs)
        if source < labs:
            series = self.series[source]
            return series.t if series is not None else []
        if source < labs + 2 * drugs:
            given = self.given.get((source - labs) % drugs)
            return given.t if given is not None else []
        if source < 2 * labs + 2 * drugs:
            odd = self.odd.get(source - labs - 2 * drugs)
            return odd.t if odd is not None else []
        fold = self.folds.get(source - 2 * labs - 2 * drugs)
        return sorted(_boundaries(fold)) if fold is not None else []

    def concerns(self, rule: Rule, fact: Fact, old: Fact | None = None) -> bool:
        """Whether a rule listens to what a fact (or the version it replaced) is about."""
        inputs = rule.inputs
        for one in (fact, old):
            if isinstance(one, Lab) and (one.analyte in inputs or self.plan.derived_from.get(one.analyte) in inputs):
                return True
            if isinstance(one, Dose):
                labs = len(self.plan.analytes)
                if one.drug >= 0 and (labs + one.drug in inputs or self.plan.course_input(one.drug) in inputs):
                    return True
            if isinstance(one, Person) and inputs & {PERSON, TRANSPLANT, DIALYSIS, HIV}:
                return True
        return False

    # What holds at a moment, from the facts up to it ---------------------------------------------------------------

    def last_dose(self, drugs: tuple[int, ...], t: Time) -> tuple[Time, int]:
        """When the last dose of any of some drugs started, at or before `t`, and which drug it was.

        Of two at the same moment, the one that comes first among `drugs`; (ALWAYS, -1) where there is none.
        """
        latest, which = ALWAYS, -1
        for drug in drugs:
            given = self.given.get(drug)
            if given is not None:
                i = given.last(t)
                if i >= 0 and given.t[i] > latest:
                    latest, which = given.t[i], drug
        return latest, which

    def state(self, drug: int, t: Time) -> DoseState | None:
        """Where a drug's course stands at `t`, which may lie after the course's end; None before any dose."""
        given = self.given.get(drug)
        if given is None:
            return None
        i = given.last(t)
        return given.s[i] if i >= 0 else None

    def state_start(self, drug: int, t: Time) -> Time:
        """When the course that a drug's last dose at `t` belongs to began; there must be one."""
        given = self.given[drug]
        return given.s[given.last(t)].start

    def latest_episode(self, code: str, t: Time) -> Episode | None:
        """The latest episode, open or closed, that a rule judged before this one began at or before `t`."""
        latest = None
        for slot in self.plan.slots.get(code, ()):
            fold = self.folds.get(slot)
            if fold is not None:
                for episode in reversed(fold.episodes):
                    if episode.onset <= t:
                        if latest is None or episode.onset > latest.onset:
                            latest = episode
                        break
        return latest

    def note(self, reason: str, t: Time) -> None:
        """Lists what the rule being judged could not judge at `t` for want of data."""
        notes = self.judging.notes
        if t < notes.get(reason, NEVER):
            notes[reason] = t

    def unjudged(self) -> set[tuple[str, str]]:
        """What could not be judged for want of data: codes, each with a reason."""
        return {(fold.rule.code, reason) for fold in self.folds.values() for reason in fold.notes}

    def age_at(self, t: Time) -> int | None:
        """Completed years of age at `t`; None without a birth date."""
        since, until, age = self.age
        if since <= t < until:
            return age
        if self.birth is None:
            return None
        age, since, until = age_span(self.birth, t)
        self.age = (since, until, age)
        return age

    def on_dialysis(self, t: Time) -> bool:
        """Whether the patient is known to be on dialysis at `t`."""
        return _holding(self.dialysis, t)

    def has_hiv(self, t: Time) -> bool:
        """Whether the patient is known to live with HIV at `t`."""
        return _holding(self.hiv, t)

    def last_seen(self, t: Time) -> Time:
        """The clinical time of the latest fact at or before `t`: a result, a dose or a transplant."""
        latest = self.transplant(t)[0]
        for column in (*self.series, *self.given.values()):
            if column is not None:
                i = column.last(t)
                if i >= 0 and column.t[i] > latest:
                    latest = column.t[i]
        return latest

    def transplant(self, t: Time) -> tuple[Time, str]:
        """The latest transplant at or before `t` and its kind; (ALWAYS, "none") where there is none."""
        held = (ALWAYS, "none")
        for entry in self.transplants:
            if entry[0] > t:
                break
            held = entry
        return held


def _nobody() -> tuple[list[Fold], list[Fold], list[Fold]]:
    return [], [], []


def _boundaries(fold: Fold) -> Iterator[Time]:
    for episode in fold.episodes:
        yield from (t for t, _ in episode.steps)
        if episode.end is not None:
            yield episode.end


def _holding(changes: list[tuple[Time, bool]], t: Time) -> bool:
    held = False
    for at, value in changes:
        if at > t:
            break
        held = value
    return held
