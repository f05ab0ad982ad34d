"""Knowledge made ready to run: codes to numbers, units to whole factors, rules to functions.

A plan is built once and shared by all patients. Inputs that rules listen to are small integers: each analyte, the
doses and the courses of each drug, and what is known of the person.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from monitor.knowledge import (
    Amount,
    Analyte,
    Drug,
    Knowledge,
    Layers,
    Renal,
    RuleData,
    Schedule,
    Viral,
    ruleset_of,
)
from monitor.times import Time
from monitor.types import Lab, Rule
from monitor.units import MILLION, Quantity, UnitError, millionths, scale_of
from monitor.validation import placed, validated

Amounts = tuple[int, ...]
"""A cut-off on an analyte's scale, one for each of its units (the unit of the result judged chooses)."""

_WIDE: Final = 10**40


class AnalyteInfo(msgspec.Struct, gc=False, eq=False):
    """An analyte, ready to read results: `units` by every spelling, `scale` whole factors by unit."""

    index: int
    key: str
    name: str
    unit_names: tuple[str, ...]
    units: dict[str | None, int]
    folded: dict[str, int]
    scale: tuple[int, ...]
    logs: dict[int, int]
    apart: frozenset[int]
    grades: dict[str, tuple[int, int]]
    qualitative: bool
    plausible: tuple[tuple[int, int], ...]

    def spelled(self, text: str) -> int | None:
        """The unit that a text names, whatever its case and its micro sign; None for an unknown one."""
        return self.folded.get(_fold(text))

    def unit_of(self, quantity: Quantity) -> int:
        """The unit of a quantity of knowledge. Raises UnitError where results do not come in it."""
        if quantity.unit not in self.units:
            raise UnitError(quantity, self.name)
        return self.units[quantity.unit]

    def amounts(self, amount: Amount) -> Amounts:
        """A quantity of knowledge on this analyte's scale, by the unit of the result it will be held against.

        Units for which the quantity is not defined use the first definition, converted without rounding; a log10 unit
        uses the logarithm; one that cannot be converted is out of reach.
        """
        defined = {self.unit_of(q): millionths(q.value) * self.scale[self.unit_of(q)] for q in amount.value}
        first = next(iter(defined.values()))
        found = []
        for unit in range(len(self.scale)):
            linear = self.logs.get(unit)
            if linear in defined:
                found.append(
                    round(math.log10(defined[linear] / self.scale[linear] / MILLION) * MILLION) * self.scale[unit]
                )
            else:
                found.append(defined.get(unit, _WIDE if unit in self.apart else first))
        return tuple(found)


class DrugInfo(msgspec.Struct, gc=False, eq=False):
    """A drug, ready to read administrations. `course` is None for one that is not itself watched."""

    index: int
    name: str
    course: "CourseInfo | None"
    local_routes: frozenset[str]
    ophthalmic: frozenset[str]

    def is_systemic(self, route: str | None, value: int | None, unit: int, code: str, plan: "Plan") -> bool:
        """Whether a dose reaches the circulation (alerts.md, "Systemic")."""
        if route is None:
            if code in self.ophthalmic:
                return False
            limit = self.course.local_up_to if self.course else None
            if limit is None or value is None:
                return True
            mass = plan.mass_of(value, unit)
            return mass is None or mass > limit
        return route not in plan.local_routes and route not in self.local_routes


class CourseInfo(msgspec.Struct, gc=False, eq=False):
    """How doses of an antiviral form courses; spans in microseconds, amounts in millionths of mg or mg/kg."""

    dosed_per_kg: bool
    intent: int
    gap: Time
    usual: Time
    current: Time
    current_spaced: Time
    current_for: Time | None
    inherits: Time | None
    local_up_to: int | None
    apart: Time | None
    up_to: int | None
    clear: Time
    renal: "RenalInfo | None"


class BandInfo(msgspec.Struct, gc=False, eq=False):
    """One row of a label's dosing table: columns of (amount in millionths of mg or mg/kg, interval).

    `allowed`: the most that the maintenance column permits in the window by which a phase is read, in `often` doses.
    """

    bound: int
    included: bool
    induction: tuple[tuple[int, Time], ...]
    maintenance: tuple[tuple[int, Time], ...]
    allowed: int
    often: int


class RenalInfo(msgspec.Struct, gc=False, eq=False):
    """A label's dosing table. `per_kg`: index in mL/min/kg. `tablet`: whole tablets, of so many millionths of mg."""

    per_kg: bool
    tablet: int | None
    bands: tuple[BandInfo, ...]


class RenalConstants(msgspec.Struct, gc=False, eq=False):
    """Cockcroft-Gault, with how old its inputs may be."""

    creatinine_age: Time
    creatinine_age_prophylaxis: Time
    weight_age: Time
    weight_age_at_most: Time
    adult_from: int
    age_term: int
    divisor: int
    female_hundredths: int
    near_hundredths: int
    induction_days: int
    window: Time
    tolerance_hundredths: int


class BaselineInfo(msgspec.Struct, gc=False, eq=False):
    """How the baseline creatinine of a course is chosen."""

    median_from: Time
    median_to: Time
    first_within: Time
    graft_settles: Time


class SuspectInfo(msgspec.Struct, gc=False, eq=False):
    """What makes a sample suspect, and whose results it voids."""

    potassium: int
    calcium: int
    potassium_above: Amounts
    calcium_below: Amounts
    voids: frozenset[int]


class ViralInfo(msgspec.Struct, gc=False, eq=False):
    """Numbers that several virus rules share; amounts by unit."""

    below_quantification: Amounts
    quantifiable_within: Time
    peak_from: Time
    peak_to: Time
    treatment_days: int
    after_therapy: Time
    refractory_rise: int
    slow_fall: int
    rebound_rise: int
    high: Amounts
    low: Amounts
    clear_apart: Time
    clear_series_within: Time
    quantifiable_before: Time


# Inputs that are neither an analyte nor a drug.
PERSON: Final = -1
"""Birth date, sex, serology."""
TRANSPLANT: Final = -2
DIALYSIS: Final = -3
HIV: Final = -4
ODD: Final = -5
"""An implausible or suspect result came or went."""


class Plan:
    """Everything a patient's state is judged under. Immutable after it is built."""

    def __init__(self, layers: Layers, kinds: dict[str, "Kind"]) -> None:
        knowledge, data = validated(layers, {code: kind.model for code, kind in kinds.items()})
        self.table = layers.table
        self.ruleset = ruleset_of(layers.table)
        self.knowledge = knowledge
        self.rule_data = data
        self._sources: dict[tuple[int, str | None], tuple[str, ...]] = {}
        self.analytes = [_analyte(i, key, a) for i, (key, a) in enumerate(knowledge.analytes.items())]
        self.analyte_index = {a.key: a.index for a in self.analytes}
        self.mass = {unit: millionths(f) for unit, f in knowledge.doses.mass.items()}
        self._read_doses(knowledge)
        drugs = enumerate(knowledge.drugs.items())
        self.drugs = placed(lambda: [_drug(i, name, d, self) for i, (name, d) in drugs], ("drugs",), layers)
        self.drug_index = {d.name: d.index for d in self.drugs}
        self._names = drug_names(knowledge.drugs)
        behavior, renal = knowledge.behavior, knowledge.renal
        self.keep = behavior.keep.value
        self.ahead = behavior.ahead.value
        self.grace = behavior.charting_grace.value
        self.watched_tail = behavior.watched_tail.value
        self.joined_within = behavior.joined_within.value
        self.renal = _renal_constants(renal)
        self.baseline = BaselineInfo(
            knowledge.baseline.median_from.value,
            knowledge.baseline.median_to.value,
            knowledge.baseline.first_within.value,
            knowledge.baseline.graft_settles.value,
        )
        cmv = self.analytes[self.analyte_index["cmv-dna"]]
        self.viral = placed(lambda: _viral(knowledge.viral, cmv), ("viral",), layers)
        self.watched = frozenset(d.index for d in self.drugs if d.course)
        self.longest_gap = max(d.course.gap for d in self.drugs if d.course)
        self.by_dosing = tuple(d.index for d in self.drugs if d.course and d.course.apart is not None)
        self.weight = self.analyte_index["weight"]
        self.creatinine = self.analyte_index["creatinine"]
        self.cmv = self.analyte_index["cmv-dna"]
        self.kilogram = self.analytes[self.weight].scale[self.analytes[self.weight].units["kg"]]
        self.mg_per_dl = self.analytes[self.creatinine].scale[self.analytes[self.creatinine].units["mg/dL"]]
        placed(lambda: self._read_links(knowledge, data), ("rules",), layers)
        self.rules = self._build_rules(kinds, layers)
        self._link_rules()
        used = {i for rule in self.rules for i in (*rule.inputs, *rule.told)}
        used |= set(self.derived_from) | {self.weight}
        self.analyte_of: dict[str | None, AnalyteInfo] = {
            loinc: a for a in self.analytes if a.index in used for loinc in knowledge.analytes[a.key].loinc
        }
        self.used_drugs = frozenset(d.index for d in self.drugs if d.course or self.doses(d.name) in used)
        self.drug_of = {name: self.drugs[self.drug_index[d]] for name, d in self._names.items()}
        self.drug_of = {name: d for name, d in self.drug_of.items() if d.index in self.used_drugs}

        self.needing: dict[int, list[Rule]] = {}
        for rule in self.rules:
            for source in {i for group in rule.needs for i in group}:
                self.needing.setdefault(source, []).append(rule)

    def _build_rules(self, kinds: dict[str, "Kind"], layers: Layers) -> list[Rule]:
        rules: list[Rule] = []
        for code, kind in kinds.items():
            if code in self.rule_data:
                build = partial(kind.build, code, self.rule_data[code], self)
                rules += placed(build, ("rules", code), layers)
        return rules

    def _link_rules(self) -> None:
        """Orders the rules, and tells each what it listens to."""
        self.rules.sort(key=lambda rule: rule.rank)
        for slot, rule in enumerate(self.rules):
            rule.slot = slot
        self.slots: dict[str, tuple[int, ...]] = {}
        for rule in self.rules:
            self.slots[rule.code] = (*self.slots.get(rule.code, ()), rule.slot)
        self.dependents: set[int] = set()
        for rule in self.rules:
            followed = [slot for code in rule.follows for slot in self.slots.get(code, ())]
            rule.judged = (*rule.judged, *(self.alert_input(slot) for slot in followed))
            self.dependents.update(followed)
        for rule in self.rules:
            rule.inputs = frozenset((*rule.judged, *rule.lazy, *rule.quiet))
            rule.timed = frozenset(map(self._column_of, (*rule.judged, *rule.lazy)))

    def sources_of(self, rule: Rule, drug: str | None) -> tuple[str, ...]:
        """What an alert rests on, by title; the labels of other antivirals than its own left out."""
        key = rule.slot, drug
        known = self._sources.get(key)
        if known is None:
            others = {self.drugs[i].name for i in self.watched if self.drugs[i].name != drug} if drug else set()
            own = [name for name in rule.references if name.partition("-")[0] not in others]
            known = tuple(self.knowledge.sources[name].title for name in own or rule.references)
            self._sources[key] = known
        return known

    def _read_links(self, knowledge: Knowledge, data: dict[str, RuleData]) -> None:
        index = self.analyte_index
        derived = {key: a.derives for key, a in knowledge.analytes.items() if a.derives}
        # The count that a percentage and the count of all cells give, and the other way round.
        self.derives = {index[d.count]: (index[key], index[d.of]) for key, d in derived.items()}
        self.derived_from = {i: count for count, both in self.derives.items() for i in (*both, count)}
        self.suspect = next((found for kind in data.values() if (found := kind.suspect_limits(self))), None)
        self.linked = set(self.derived_from) | set(self.suspect.voids if self.suspect else ())
        inheriting = tuple(d.index for d in self.drugs if d.course and d.course.inherits is not None)
        with_table = tuple(d.index for d in self.drugs if d.course and d.course.renal)
        self.inheriting = inheriting
        self.restating = {
            self.cmv: self.by_dosing,
            self.weight: tuple(sorted(self.watched)),
            self.creatinine: with_table,
        }

    def course_input(self, drug: int) -> int:
        """The input that changes of a drug's regimen are, by the drug's index."""
        return len(self.analytes) + len(self.drugs) + drug

    def _column_of(self, source: int) -> int:
        """The input that stands at the same times: a drug's regimen changes at its doses."""
        first = self.course_input(0)
        return source - len(self.drugs) if first <= source < first + len(self.drugs) else source

    def alert_input(self, slot: int) -> int:
        """The input that another rule's episodes are."""
        return 2 * len(self.analytes) + 2 * len(self.drugs) + slot

    def odd_input(self, analyte: int) -> int:
        """The input that an analyte's implausible results are."""
        return len(self.analytes) + 2 * len(self.drugs) + analyte

    def _read_doses(self, knowledge: Knowledge) -> None:
        doses, routes = knowledge.doses, knowledge.routes
        kinds = [("mass", doses.mass), ("per_kg", doses.per_kg), ("volume", doses.volume)]
        self.dose_units: list[tuple[str, str, int]] = [
            (name, kind, millionths(factor)) for kind, units in kinds for name, factor in units.items()
        ]
        self.dose_units += [(name, "other", 0) for name in doses.other]
        by_name = {name: i for i, (name, _, _) in enumerate(self.dose_units)}
        spelled = {**by_name, **{text: by_name[name] for text, name in doses.spellings.items()}}
        self._dose_units = spelled
        self._folded_units = {_fold(text): i for text, i in spelled.items()}
        self.local_routes = frozenset(routes.local)
        self._routes = {name: name for name in (*routes.systemic, *routes.local)} | routes.spellings

    # Inputs ------------------------------------------------------------------------------------------------------

    def doses(self, drug: str) -> int:
        """The input that a drug's doses are."""
        return len(self.analytes) + self.drug_index[drug]

    def courses(self, drug: str) -> int:
        """The input that changes of a drug's regimen are: a new course, intent or phase, or a dose after a pause."""
        return len(self.analytes) + len(self.drugs) + self.drug_index[drug]

    def value_of(self, lab: Lab) -> int:
        """A result in millionths of the unit it was reported in."""
        return lab.canon // self.analytes[lab.analyte].scale[lab.unit]

    # Reading -----------------------------------------------------------------------------------------------------

    def find_drug(self, text: str) -> DrugInfo | None:
        """The drug that a name or RxNorm code means, if any rule watches it."""
        known = self.drug_of.get(text)
        return known if known is not None else self.drug_of.get(text.strip().lower())

    def dose_unit(self, text: str, drug: DrugInfo) -> int:
        """The unit of a dose; -1 if it is not known, or not one that this drug's doses can be judged in."""
        unit = self._dose_units.get(text, -1)
        if unit < 0:
            unit = self._folded_units.get(_fold(text), -1)
        if unit >= 0 and drug.course and self.dose_units[unit][1] not in ("mass", "per_kg"):
            return -1
        return unit

    def route_of(self, text: str | None) -> str | None:
        """The route that a word or SNOMED CT code names; None for none and for an unknown one."""
        if text is None:
            return None
        return self._routes.get(text) or self._routes.get(text.strip().lower())

    def dose_amount(self, quantity: Quantity) -> tuple[int, bool]:
        """A dosage of knowledge in millionths of mg, or of mg/kg (then True)."""
        if quantity.unit not in self._dose_units:
            raise UnitError(quantity, "a dose")
        _, kind, factor = self.dose_units[self._dose_units[quantity.unit]]
        return millionths(quantity.value) * factor // MILLION, kind == "per_kg"

    def mass_of(self, value: int, unit: int) -> int | None:
        """A charted amount in millionths of mg; None if it is not a plain mass."""
        _, kind, factor = self.dose_units[unit]
        return value * factor // MILLION if kind == "mass" else None


class Kind(msgspec.Struct, gc=False):
    """How rules of one code come to be: the model of their numbers, and the function that builds them."""

    model: type[RuleData]
    build: Callable[[str, Any, Plan], list[Rule]]


def drug_names(drugs: dict[str, Drug]) -> dict[str, str]:
    """Every name and RxNorm code of every drug, to its name here."""
    names = {name: name for name in drugs}
    for name, drug in drugs.items():
        for other in (*drug.names, *drug.rxnorm):
            names.setdefault(other.lower(), name)
    return names


def _fold(text: str) -> str:
    return text.strip().replace("µ", "u").replace("μ", "u").casefold()


# Compilation -----------------------------------------------------------------------------------------------------


def _analyte(index: int, key: str, data: Analyte) -> AnalyteInfo:
    names = tuple(data.units)
    whole = scale_of(data.units)
    units: dict[str | None, int] = {name: i for i, name in enumerate(names)}
    units |= {text: units[name] for text, name in data.spellings.items()}
    scale = tuple(whole[name] for name in names)
    logs = {units[name]: units[linear] for name, linear in data.log10.items()}
    limits = [(-_WIDE, _WIDE)] * len(names)
    if data.plausible:
        low, high = data.plausible.value
        bounds = (millionths(low.value) * scale[units[low.unit]], millionths(high.value) * scale[units[high.unit]])
        limits = [(-_WIDE, _WIDE) if unit in logs else bounds for unit in range(len(names))]
        for unit in logs:
            limits[unit] = (-_WIDE, int(high.value.log10() * MILLION) * scale[unit])
    return AnalyteInfo(
        index,
        key,
        data.name,
        names,
        units,
        {_fold(text): unit for text, unit in units.items() if text is not None},
        scale,
        logs,
        frozenset(units[name] for name in data.incommensurable),
        {grade: (millionths(q.value), units[q.unit]) for grade, q in data.grades.items()},
        data.qualitative,
        tuple(limits),
    )


def _drug(index: int, name: str, data: Drug, plan: Plan) -> DrugInfo:
    return DrugInfo(index, name, _course(data, plan), frozenset(data.local_routes), frozenset(data.ophthalmic))


INTENT_PROPHYLAXIS: Final = 1
INTENT_TREATMENT: Final = 2


def _course(data: Drug, plan: Plan) -> CourseInfo | None:
    course = data.course
    if course is None:
        return None
    current = course.current.value if course.current else 0
    up_to = course.prophylaxis_up_to
    return CourseInfo(
        course.dosed_in == "mg/kg",
        INTENT_TREATMENT if course.intent == "treatment" else INTENT_PROPHYLAXIS,
        course.gap.value,
        course.usual.value,
        current,
        course.current_spaced.value if course.current_spaced else current,
        course.current_for.value if course.current_for else None,
        course.inherits.value if course.inherits else None,
        plan.dose_amount(course.local_up_to.value)[0] if course.local_up_to else None,
        course.prophylaxis_apart.value if course.prophylaxis_apart else None,
        plan.dose_amount(up_to.value)[0] if up_to else None,
        course.prophylaxis_clear.value if course.prophylaxis_clear else 0,
        _renal(data, plan),
    )


def _renal(data: Drug, plan: Plan) -> RenalInfo | None:
    renal = data.renal
    if renal is None:
        return None

    def columns(schedules: tuple[Schedule, ...]) -> tuple[tuple[int, Time], ...]:
        return tuple((plan.dose_amount(s.dose)[0], s.every) for s in schedules)

    window = plan.knowledge.renal.maintenance_window.value
    bands = []
    for b in renal.bands:
        maintenance = columns(b.maintenance)
        allowed = max(dose * max(1, window // every) for dose, every in maintenance)
        often = max(max(1, window // every) for _, every in maintenance)
        lower = millionths(b.bound), b.from_ is not None
        bands.append(BandInfo(*lower, columns(b.induction), maintenance, allowed, often))
    tablet = plan.dose_amount(renal.tablet)[0] if renal.tablet else None
    return RenalInfo(renal.index == "mL/min/kg", tablet, tuple(bands))


def _viral(viral: Viral, cmv: AnalyteInfo) -> ViralInfo:
    return ViralInfo(
        cmv.amounts(viral.below_quantification_up_to),
        viral.quantifiable_within.value,
        viral.peak_from.value,
        viral.peak_to.value,
        int(viral.treatment_days.value),
        viral.after_therapy.value,
        viral.refractory_rise.halves,
        viral.slow_fall.halves,
        viral.rebound_rise.halves,
        cmv.amounts(viral.high),
        cmv.amounts(viral.low),
        viral.clear_apart.value,
        viral.clear_series_within.value,
        viral.quantifiable_before.value,
    )


def _renal_constants(renal: Renal) -> RenalConstants:
    return RenalConstants(
        renal.creatinine_age.value,
        renal.creatinine_age_prophylaxis.value,
        renal.weight_age.value,
        renal.weight_age_at_most.value,
        int(renal.adult_from_years.value),
        int(renal.age_term.value),
        int(renal.divisor.value),
        int(renal.female_factor.value * 100),
        int(renal.near_band.value * 100),
        int(renal.induction_days.value),
        renal.maintenance_window.value - renal.maintenance_jitter.value,
        int(renal.dose_tolerance.value * 100),
    )
