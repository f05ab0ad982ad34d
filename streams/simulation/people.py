"""Who the patients are: transplant and HIV patients, what brings them in, and what is hidden in their bodies.

Sources of the spreads: facts.md sections 6 and 9 (viral kinetics, shares of resistance), else chosen so that a large
cohort comes out near section 9.2 (docs/cohort.md shows how near).
"""

from dataclasses import dataclass
from datetime import date
from typing import Final

from streams.simulation.chance import Chance
from streams.simulation.clock import START

HCT: Final = "hct-allogeneic"
SOT: Final = "solid-organ"
HIV: Final = "hiv"


@dataclass(frozen=True, slots=True)
class Team:
    """How a ward works. Shares are per draw, dose or day."""

    name: str
    misses_draw: float
    forgets_test: float
    reviews: float
    omits_fluid: float
    labs_every: float


TEAMS: Final = (
    (Team("careful", misses_draw=0.012, forgets_test=0.0004, reviews=0.9, omits_fluid=0.002, labs_every=1.0), 0.5),
    (Team("usual", misses_draw=0.03, forgets_test=0.0015, reviews=0.65, omits_fluid=0.006, labs_every=2.0), 0.4),
    (Team("lax", misses_draw=0.08, forgets_test=0.006, reviews=0.25, omits_fluid=0.04, labs_every=3.0), 0.1),
)


@dataclass(frozen=True, slots=True)
class Habits:
    """How a hospital writes things down."""

    si_units: bool
    units_change_on: int | None
    percent_neutrophils: bool
    dipstick: bool
    whole_blood: bool
    log_load: bool
    bare_detected: bool
    lloq: int
    usan: bool
    labels: float
    """The share of doses that say what they are for."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What is hidden: how this body answers."""

    foscarnet_hurt: float
    cidofovir_hurt: float
    kidney_mends: float
    insults: float
    secretion: float
    marrow_falls: float
    platelets_fall: float
    neutrophils: float
    platelets: float
    hemoglobin: float
    lymphocytes: float
    lymphocytes_from: int
    cd4: float
    cd4_gain: float
    salts: tuple[float, float, float, float]
    """Potassium mmol/L, magnesium, phosphate, corrected calcium mg/dL before therapy."""
    salts_lost: tuple[float, float, float, float]
    albumin: float
    cmv_from: int
    """The day on which the virus begins to grow."""
    growth: float
    """log10 a day, untreated."""
    half_life: float
    """Days, of the load in plasma on full treatment."""
    hump: float
    response: str
    """`responds`, `slow`, `refractory` (host), `resists` (the strain, to ganciclovir)."""
    resists_after: float
    """Days of full ganciclovir until a resistant strain has the upper hand."""
    control_from: int
    """The day from which immunity holds the virus alone."""
    ceiling: float


@dataclass(frozen=True, slots=True)
class Person:
    """One patient as he or she comes in."""

    id: str
    population: str
    organ: str
    plan: str
    first_line: str
    birth: date
    age: int
    female: bool
    weight: float
    height: int
    creatinine: float
    enters: int
    transplant_day: int | None
    donor: str
    recipient: str
    immunosuppressant: str
    mycophenolate: bool
    dialysis: bool
    unknown: frozenset[str]
    hydrates: bool
    foscarnet_column: int
    team: Team
    habits: Habits
    traits: Traits


def person(chance: Chance, index: int, days: int) -> Person:
    """The patient of this index."""
    population = chance.weighted(((HCT, 0.46), (SOT, 0.34), (HIV, 0.20)))
    organ, plan = _plan(chance, population)
    enters = chance.whole(0, max(0, min(13, days // 4)))
    age = chance.whole(16, 17) if chance.happens(0.008) else chance.whole(22, 55 if population == HIV else 74)
    birth = date(START.year - 1 - age, chance.whole(1, 12), chance.whole(1, 28))
    female = chance.happens(0.25 if population == HIV else 0.42)
    weight = min(130.0, max(42.0, chance.around(64 if female else 77, 13)))
    team = chance.weighted(TEAMS)
    donor = "positive" if chance.happens(0.55) else "negative"
    recipient = "positive" if chance.happens(0.25 if donor == "positive" and population == SOT else 0.8) else "negative"
    dialysis = population != HIV and chance.happens(0.02)
    first_line = _first_line(chance, population, plan)
    return Person(
        id=f"p{index:06d}",
        population=population,
        organ=organ,
        plan=plan,
        first_line=first_line,
        birth=birth,
        age=age,
        female=female,
        weight=round(weight, 1),
        height=chance.whole(152, 178) + (0 if female else 10),
        creatinine=7.0 if dialysis else _creatinine(chance, population, organ, age, female=female),
        enters=enters,
        transplant_day=_transplant_day(chance, population, plan, enters),
        donor=donor if population == SOT or chance.happens(0.5) else "",
        recipient="" if population == HIV else recipient,
        immunosuppressant=_immunosuppressant(chance, population),
        mycophenolate=chance.happens({HCT: 0.4, SOT: 0.85, HIV: 0.0}[population]),
        dialysis=dialysis,
        unknown=_unknown(chance),
        hydrates=not (population == HIV and chance.happens(0.4)),
        foscarnet_column=chance.weighted(((0, 0.35), (1, 0.35), (2, 0.3))) if population == HCT else chance.whole(0, 1),
        team=team,
        habits=_habits(chance, days),
        traits=_traits(chance, population, organ, plan, enters),
    )


def _plan(chance: Chance, population: str) -> tuple[str, str]:
    """The organ, and what brings a patient in."""
    if population == HIV:
        return "", "retinitis"
    if population == SOT:
        organ = chance.weighted((("kidney", 0.62), ("liver", 0.16), ("lung", 0.12), ("heart", 0.10)))
        plan = chance.weighted((("prophylaxis", 0.6), ("surveillance", 0.35), ("letermovir", 0.05)))
        return organ, plan
    plan = chance.weighted((("surveillance", 0.66), ("letermovir", 0.27), ("adenovirus", 0.05), ("herpes", 0.02)))
    return "", plan


_FIRST_LINE: Final = {
    HCT: (("valganciclovir", 0.35), ("ganciclovir", 0.30), ("foscarnet", 0.30), ("maribavir", 0.05)),
    SOT: (("valganciclovir", 0.60), ("ganciclovir", 0.30), ("foscarnet", 0.06), ("maribavir", 0.04)),
    HIV: (("foscarnet", 0.42), ("ganciclovir", 0.14), ("valganciclovir", 0.20), ("cidofovir", 0.24)),
}


def _first_line(chance: Chance, population: str, plan: str) -> str:
    drug = chance.weighted(_FIRST_LINE[population])
    return {"adenovirus": "cidofovir", "herpes": "foscarnet"}.get(plan, drug)


def _creatinine(chance: Chance, population: str, organ: str, age: int, *, female: bool) -> float:
    """mg/dL when settled."""
    median = 1.25 if organ == "kidney" else {HCT: 0.82, SOT: 1.0, HIV: 0.85}[population]
    usual = chance.lognormal(median, 0.22) * (0.82 if female else 1.0) * (0.9 if age > 60 else 1.0)
    return round(min(2.6, max(0.4, usual)), 3)


def _transplant_day(chance: Chance, population: str, plan: str, enters: int) -> int | None:
    """The day of the transplant on the cohort's clock; most lie before its start."""
    if population == HIV:
        return None
    if population == SOT:
        ago = chance.whole(1, 8) if plan in ("prophylaxis", "letermovir") else chance.whole(20, 150)
    else:
        ago = chance.whole(1, 20) if plan == "letermovir" else chance.whole(15, 40)
    return enters - ago


def _immunosuppressant(chance: Chance, population: str) -> str:
    if population == HIV:
        return ""
    return "ciclosporin" if chance.happens(0.4 if population == HCT else 0.1) else "tacrolimus"


def _unknown(chance: Chance) -> frozenset[str]:
    """What the hospital never writes down about this patient."""
    return frozenset(
        what for what, share in (("weight", 0.02), ("birth", 0.015), ("sex", 0.015)) if chance.happens(share)
    )


def _habits(chance: Chance, days: int) -> Habits:
    return Habits(
        si_units=chance.happens(0.2),
        units_change_on=chance.whole(5, max(6, days)) if chance.happens(0.03) else None,
        percent_neutrophils=chance.happens(0.1),
        dipstick=chance.happens(0.7),
        whole_blood=chance.happens(0.06),
        log_load=chance.happens(0.03),
        bare_detected=chance.happens(0.1),
        lloq=chance.weighted(((137, 0.5), (35, 0.3), (50, 0.2))),
        usan=chance.happens(0.5),
        labels=chance.weighted(((1.0, 0.78), (0.0, 0.14), (0.85, 0.08))),
    )


def _traits(chance: Chance, population: str, organ: str, plan: str, enters: int) -> Traits:
    response = chance.weighted((("responds", 0.74), ("slow", 0.10), ("refractory", 0.08), ("resists", 0.08)))
    hct, hiv = population == HCT, population == HIV
    return Traits(
        foscarnet_hurt=chance.lognormal(0.055 if hiv else 0.22, 2.2),
        cidofovir_hurt=chance.lognormal(0.035, 0.9),
        kidney_mends=chance.lognormal(7.0, 0.4),
        insults=chance.lognormal({HCT: 0.03, SOT: 0.008, HIV: 0.002}[population], 0.5),
        secretion=chance.between(1.05, 1.25),
        marrow_falls=chance.lognormal(0.94 if hct else 0.6, 0.5),
        platelets_fall=chance.lognormal(0.27, 0.5),
        neutrophils=chance.lognormal({HCT: 2.7, SOT: 4.6, HIV: 2.6}[population], 0.32),
        platelets=chance.lognormal(110 if hct else 200, 0.35),
        hemoglobin=chance.around(9.9 if hct else 11.4, 1.1),
        lymphocytes=chance.lognormal({HCT: 0.35, SOT: 0.8, HIV: 0.6}[population], 0.5),
        lymphocytes_from=enters + chance.whole(5, 60),
        cd4=chance.lognormal(28, 0.7),
        cd4_gain=chance.lognormal(0.9, 0.5) if hiv and chance.happens(0.85) else 0.0,
        salts=(
            chance.around(4.15, 0.25),
            chance.around(1.85 if hiv else 1.75, 0.16),
            chance.around(3.4, 0.35),
            chance.around(9.2, 0.25),
        ),
        salts_lost=(
            chance.lognormal(1.25, 0.6),
            chance.lognormal(0.69, 0.60),
            chance.lognormal(1.2, 0.6),
            chance.lognormal(1.08, 0.6),
        ),
        albumin=chance.around(3.3 if hct else 3.7, 0.3),
        cmv_from=_cmv_from(chance, population, plan, enters),
        growth=chance.lognormal(0.28, 0.2),
        half_life=chance.lognormal(3.8, 0.5),
        hump=chance.between(0.2, 0.7) if chance.happens(0.2) else 0.0,
        response=response,
        resists_after=chance.between(10, 38),
        control_from=enters + int(chance.lognormal(58 if organ or hct else 120, 0.8)),
        ceiling=chance.around(6.0, 0.5),
    )


def _cmv_from(chance: Chance, population: str, plan: str, enters: int) -> int:
    """Untreated: 60-70 % of seropositive allogeneic recipients within 3 months; on prophylaxis few, and late."""
    never = 10**6
    if population == HIV:
        return enters - chance.whole(12, 30) if chance.happens(0.75) else never
    share, low, high = {
        "surveillance": (0.72, -12, 22) if population == HCT else (0.9, -5, 13),
        "letermovir": (0.14, 5, 110),
        "prophylaxis": (0.12, 20, 180),
        "adenovirus": (0.0, 0, 0),
        "herpes": (0.0, 0, 0),
    }[plan]
    return enters + chance.whole(low, high) if chance.happens(share) else never
