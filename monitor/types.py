"""The whole design on one screen.

What the monitor says is a function of what it knows and what time it is:

    facts about one patient + knowledge + now  --evaluate-->  episodes  --reconcile-->  alert changes

A *fact* is a Lab, Dose, Person or Act. A *rule* judges one question at one clinical time, from the facts up to that
time alone (the prefix rule). Its *fold* strings the verdicts along the patient's timeline into *episodes*. What was
said before is held against them; the difference is an *Alert* record going out.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from monitor.times import ALWAYS, NEVER, Time

if TYPE_CHECKING:
    from monitor.patient import Patient

# Facts -----------------------------------------------------------------------------------------------------------

Mark = int
EQUAL, LESS, AT_MOST, MORE, AT_LEAST, DETECTED, NOT_DETECTED = range(7)
"""How a result is to be read: a number, a number with a comparator, or a bare qualitative result."""

PRELIMINARY, FINAL, CANCELLED, CORRECTED, WITHDRAWN = range(5)
"""Which of several versions with one identity and one `recorded_at` holds: the greater."""


class Lab(msgspec.Struct, gc=False):
    """One result of one specimen. `canon` is its number on the analyte's scale (monitor/units.py).

    `odd`: outside the plausible range. `grade`: a qualitative result as reported. An `analyte` or `unit` of -1 is none.
    """

    event_id: str
    recorded: Time
    at: Time
    analyte: int
    loinc: str
    canon: int
    unit: int = -1
    mark: Mark = EQUAL
    rank: int = FINAL
    odd: bool = False
    grade: str | None = None

    @property
    def void(self) -> bool:
        """No result came of it, or it was withdrawn."""
        return self.rank in (CANCELLED, WITHDRAWN)


NO_LABEL, PROPHYLAXIS, TREATMENT, PREEMPTIVE, MAINTENANCE = range(5)
"""What a dose says it is given for."""


class Dose(msgspec.Struct, gc=False):
    """One administration. `value` is in millionths of the unit charted; None where the source charts no amount."""

    event_id: str
    recorded: Time
    at: Time
    end: Time
    drug: int
    unit: int
    value: int | None
    route: str | None
    systemic: bool
    label: int
    status: str
    rank: int
    given: bool


class Person(msgspec.Struct, array_like=True, gc=False):
    """What one patient event says; None for what it leaves open."""

    event_id: str
    recorded: Time
    birth: Time | None
    sex: str | None
    donor: str | None
    recipient: str | None
    transplant: str | None
    transplant_at: Time | None
    dialysis: bool | None
    hiv: bool | None


class Act(msgspec.Struct, array_like=True, gc=False):
    """What a pharmacist did about an alert."""

    event_id: str
    recorded: Time
    alert_id: str
    action: str
    by: str
    reason: str | None
    until: Time | None
    severity: str | None


class Day(msgspec.Struct, gc=False):
    """The clock has come to a day that was announced before: a planned transplant."""

    recorded: Time


Fact = Lab | Dose | Person | Act
Pending = Fact | Day
"""What may wait in a patient's inbox."""

# Judging ---------------------------------------------------------------------------------------------------------

Level = int
"""A rule's verdict. Above zero: raised, and which severity and advice. Zero or below: not raised, and why."""

GONE, OVER, YIELDED, WAITING, PAUSED = 0, -1, -2, -3, -4
"""Why nothing is raised: the condition does not hold; exposure or course ended; a weightier alert speaks; it would be
raised by any further fact (lazy inputs are judged then too); exposure or course ended and a dose may go on with it
(so too)."""

Verdict = tuple[Level, Time]
"""The level from this moment on, and the next moment at which time alone may change it (NEVER: none)."""


class Figure(NamedTuple):
    """A figure that a verdict compares with a threshold, both exact and in one unit, as `explain` shows them.

    `what`: the figure ("creatinine over the course's baseline"); `meaning`: what the threshold does ("stage 2 from",
    "critical below", "ends from"); `number`: the threshold's path in the rule's table, for its source and tag.
    """

    what: str
    value: Fraction | int
    limit: Fraction | int
    unit: str
    meaning: str
    number: str


class Words(NamedTuple):
    """What an alert tells a pharmacist, the facts that it rests on, and its figures beside each threshold.

    `figures` may be read once, before the patient hears of more: only `explain` does, and most are made as it reads.
    """

    title: str
    detail: str
    recommendation: str
    facts: tuple[Lab | Dose | Person, ...]
    figures: Iterable[Figure] = ()


class Rule(msgspec.Struct, gc=False, eq=False):
    """One question about one drug or subject, ready to be judged.

    `judged` inputs are those at whose times the verdict may change; `lazy` inputs are judged only while an alert is
    open; `quiet` inputs matter only to what is judged at or after them; `told` inputs only to the text.
    `judge(patient, t, level)` gives the verdict at `t`, with `level` the verdict just before. It reads no fact after
    `t` (after `t + reach`, where what goes with a dose may come during it), and between judged times and due times it
    says the same again.
    """

    code: str
    drug: str | None
    subject: str | None
    severities: tuple[str, ...]
    judged: tuple[int, ...]
    needs: tuple[tuple[int, ...], ...]
    judge: Callable[["Patient", Time, Level], Verdict]
    say: Callable[["Patient", Time, Level, "Episode"], Words]
    references: tuple[str, ...]
    lazy: tuple[int, ...] = ()
    quiet: tuple[int, ...] = ()
    told: tuple[int, ...] = ()
    rank: int = 0
    follows: tuple[str, ...] = ()
    slot: int = 0
    reach: Time = 0
    named: Callable[["Patient", Time], str | None] | None = None
    inputs: frozenset[int] = frozenset()
    timed: frozenset[int] = frozenset()
    why: dict[Level, str] = {}
    """All that it listens to, and those at whose times its verdict may change, each column once; the plan sets both.
    `why`: what ends its alerts, by verdict, where the usual words would mislead.
    """


class Episode(msgspec.Struct, eq=True):
    """One stretch of time in which a rule's condition held: its steps of level, and its end."""

    onset: Time
    drug: str | None
    steps: list[tuple[Time, Level]]
    end: Time | None = None
    why: Level = GONE


@dataclass(slots=True, eq=False)
class Fold:
    """A rule on its way along one patient's timeline. No msgspec struct, whose fields are slow to set.

    Facts at or before `frontier` may change what was judged; facts after it cannot. The episodes themselves are the
    checkpoints: cut off at any time, they are the memory that the fold had then. `due` is the next moment that time
    alone may change, as judged at `since`; `before`: the level before the last judged moment. `waits` are moments to be
    judged again when the clock has come that far, `notes` what could not be judged and since when. `changed`: how many
    episodes stand as they were last told of; `lost`: those, by drug and onset, that were taken back since.
    """

    rule: Rule
    rank: int
    frontier: Time = ALWAYS
    level: Level = 0
    before: Level = 0
    due: Time = NEVER
    since: Time = ALWAYS
    many: bool = False
    episodes: list[Episode] = field(default_factory=list)
    said: dict[tuple[str | None, Time], "Said"] = field(default_factory=dict)
    notes: dict[str, Time] = field(default_factory=dict)
    waits: dict[Time, Time] = field(default_factory=dict)
    changed: int = 0
    lost: dict[tuple[str | None, Time], None] = field(default_factory=dict)


class Said(msgspec.Struct, array_like=True):
    """What was last said of one alert, enough to say the next thing rightly. `aside`: by another ruleset, and over."""

    seq: int
    state: str
    level: Level
    severity: str
    title: str
    aside: bool = False


class Saying(msgspec.Struct, array_like=True):
    """What was said of one alert, with the names of the rule that said it and of the episode: as state keeps it."""

    code: str
    drug: str | None
    subject: str | None
    named: str | None
    onset: Time
    said: Said


# Alerts out ------------------------------------------------------------------------------------------------------

Severity = Literal["info", "warning", "critical"]
Status = Literal["raised", "updated", "resolved", "retracted", "reopened", "acknowledged", "snoozed", "overridden"]
State = Literal["open", "acknowledged", "snoozed", "overridden", "resolved", "retracted"]


class Evidence(msgspec.Struct):
    """A fact that a verdict rests on."""

    event_id: str
    at: str
    text: str


class Alert(msgspec.Struct):
    """One change of an alert's life, as it goes out (contract, section 2)."""

    alert_id: str
    seq: int
    status: str
    state: str
    code: str
    severity: str
    patient_id: str
    drug: str | None
    subject: str | None
    onset_at: str
    emitted_at: str
    title: str
    detail: str
    recommendation: str
    evidence: list[Evidence]
    references: list[str]
    reason: str | None
    supersedes: str | None
    ruleset: str
