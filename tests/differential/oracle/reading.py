"""From events to the facts that hold: versions, units, plausibility, merging of what has one time."""

from collections import defaultdict
from datetime import date
from fractions import Fraction
from json import dumps
from typing import Any

from . import tables as tb
from .facts import Case, Dose, Fluid, Load, Result, instant, log10, number

# Versions --------------------------------------------------------------------------------------------------------

STATUS = {"entered-in-error": 3, "corrected": 2, "final": 1, "preliminary": 0}


def holding(events: list[dict], until: int) -> list[dict]:
    """Return of each identity the version that holds at the clock, withdrawn ones left out."""
    best: dict[tuple[str, str], tuple[Any, dict]] = {}
    for event in events:
        recorded = instant(event["recorded_at"])
        if recorded > until:
            continue
        rank = recorded, STATUS.get(event.get("status", "final"), 1), canonical(event)
        key = event["type"], event["event_id"]
        if key not in best or rank > best[key][0]:
            best[key] = rank, event
    return [event for _, event in best.values() if event.get("status") != "entered-in-error"]


def canonical(event: dict) -> str:
    """Return an event as canonical JSON: a whole number without a fraction, what is taken for granted left out."""
    fields = {key: int(v) if isinstance(v, float) and v.is_integer() else v for key, v in event.items()}
    if fields.get("status") in ("final", "completed"):
        del fields["status"]
    if fields.get("ended_at") == fields.get("started_at"):
        fields.pop("ended_at", None)
    return dumps(fields, sort_keys=True, separators=(",", ":"))


def understand(events: list[dict], until: int) -> Case:
    case = Case(until)
    events = sorted(holding(events, until), key=lambda e: (instant(e["recorded_at"]), e["event_id"]))
    labs, doses = [e for e in events if e["type"] == "lab"], [e for e in events if e["type"] == "administration"]
    read_patient(case, [e for e in events if e["type"] == "patient"])
    read_labs(case, labs)
    read_doses(case, doses)
    return case


def read_patient(case: Case, events: list[dict]) -> None:
    for e in events:
        recorded = instant(e["recorded_at"])
        if e.get("birth_date"):
            case.birth = date.fromisoformat(e["birth_date"][:10])
        case.sex = e.get("sex") or case.sex
        case.donor = e.get("donor_cmv") or case.donor
        case.recipient = e.get("recipient_cmv") or case.recipient
        if e.get("transplant"):
            since = instant(e["transplant_at"]) if e.get("transplant_at") else None
            case.transplants.append((since, recorded, e["transplant"]))
            if since is not None:
                case.events.append(since)
        if e.get("dialysis") is not None:
            case.dialysis.append((recorded, e["dialysis"]))
        if e.get("hiv") is not None:
            case.hiv.append((recorded, e["hiv"]))


# Results ---------------------------------------------------------------------------------------------------------


def read_labs(case: Case, labs: list[dict]) -> None:
    parts: dict[tuple[str, int], list[tuple[Result, bool]]] = defaultdict(list)
    loads: list[Load] = []
    for e in labs:
        analyte = tb.LOINC.get(e["code"])
        if analyte is None:
            continue
        at = instant(e["collected_at"])
        if e.get("status") == "cancelled":
            continue
        if analyte == "cmv-dna":
            load = read_load(e, at)
            if load is None:
                continue
            top = Fraction(10) if load.log() else Fraction(10) ** 10
            plausible = e.get("value") is None or (load.value <= top and (load.log() or load.value >= 0))
            case.raw.append((at, analyte, None, plausible))
            if plausible:
                loads.append(load)
            continue
        if e.get("value") is not None:
            unit = e.get("unit")
            factor = tb.UNITS[analyte].get(unit)
            if factor is None:
                continue
            scale, stick = number(e["value"]) * factor, False
        elif analyte == "urine-protein" and e.get("result") in tb.DIPSTICK:
            unit, scale, stick = "mg/dL", tb.DIPSTICK[e["result"]], True
        else:
            continue
        low, high = tb.PLAUSIBLE.get(analyte, (None, None))
        plausible = low is None or low <= scale <= high
        case.raw.append((at, analyte, scale, plausible))
        if plausible:
            sign = (e.get("comparator") or "")[:1]
            parts[analyte, at].append((Result(analyte, at, scale, sign, unit), stick))
    case.suspect = suspect_times(case.raw)
    for (analyte, at), found in parts.items():
        if at in case.suspect and analyte in ("potassium", "calcium", "calcium-ionized", "magnesium"):
            continue
        case.results.setdefault(analyte, []).append(one_result(found))
    derive_neutrophils(case)
    for found in case.results.values():
        found.sort(key=lambda r: r.at)
    case.series = split_series(loads)
    case.loads = sorted((x for s in case.series.values() for x in s), key=lambda x: x.at)
    case.events += [r.at for found in case.results.values() for r in found] + [x.at for x in case.loads]


def suspect_times(raw: list[tuple[int, str, Fraction | None, bool]]) -> set[int]:
    high = {at for at, analyte, scale, _ in raw if analyte == "potassium" and scale > Fraction("6.5")}
    low = {at for at, analyte, scale, _ in raw if analyte == "calcium" and scale < 6 * Fraction("0.2495")}
    return high & low


def one_result(found: list[tuple[Result, bool]]) -> Result:
    """Average the plain numbers of one collection time; without any the newest recorded holds."""
    plain = [r for r, stick in found if not stick and not r.sign]
    if not plain:
        return found[-1][0]
    units = {r.unit for r in plain}
    base = {"creatinine": "umol/L"}.get(plain[0].analyte, "mmol/L")
    unit = units.pop() if len(units) == 1 else base
    return Result(plain[0].analyte, plain[0].at, sum(r.scale for r in plain) / len(plain), "", unit)


def derive_neutrophils(case: Case) -> None:
    counted = case.times("anc")
    cells = {r.at: r for r in case.results.get("wbc", []) if not r.sign}
    for r in case.results.get("neutrophil-percent", []):
        if not r.sign and r.at in cells and r.at not in counted:
            scale = cells[r.at].scale * r.scale / 100
            case.results.setdefault("anc", []).append(Result("anc", r.at, scale, "", "/uL"))
            case.raw.append((r.at, "anc", scale, True))


def read_load(e: dict, at: int) -> Load | None:
    recorded = instant(e["recorded_at"])
    if e.get("value") is None:
        kind = {"detected": "detected", "not-detected": "clear"}.get(e.get("result"))
        return Load(at, e["code"], None, kind, Fraction(0), recorded) if kind else None
    unit = tb.CMV_UNITS.get(e.get("unit"))
    if unit is None:
        return None
    value, sign = number(e["value"]), (e.get("comparator") or "")[:1]
    log = unit in (tb.LOG_IU, tb.LOG_COPIES)
    if sign == "<":
        kind = "clear" if value <= (log10(500) if log else 500) else "pass"
    elif sign != ">" and value == 0 and not log:
        kind = "clear"
    else:
        kind = "number"
    return Load(at, e["code"], unit, kind, value, recorded, sign == ">")


def split_series(loads: list[Load]) -> dict[tuple[str, str | None], list[Load]]:
    """Part the loads by LOINC and unit. A result without a unit belongs to each series of its LOINC."""
    units: dict[str, set[str]] = defaultdict(set)
    for x in loads:
        if x.unit:
            units[x.code].add(x.unit)
    parts: dict[tuple[str, str | None], dict[int, Load]] = defaultdict(dict)
    for x in loads:  # in the order of recording: the newest holds
        for unit in [x.unit] if x.unit else units[x.code] or [None]:
            parts[x.code, unit][x.at] = x
    return {key: [found[at] for at in sorted(found)] for key, found in sorted(parts.items(), key=str)}


# Doses -----------------------------------------------------------------------------------------------------------


def read_doses(case: Case, events: list[dict]) -> None:
    parts: dict[tuple[str, int], list[tuple[dict, str | None]]] = defaultdict(list)
    for e in events:
        name = str(e["drug"]).strip().lower()
        drug = tb.ALIASES.get(name, name)
        if drug not in tb.INN:
            continue
        at = instant(e["started_at"])
        if e.get("status") == "not-done" or e.get("dose") == 0:
            continue
        route = tb.ROUTES.get(str(e.get("route") or "").strip().lower())
        if name in tb.OPHTHALMIC_PRODUCTS or not systemic(drug, route, e):
            continue
        case.events.append(at)
        if drug in tb.FLUIDS:
            ml = tb.MILLILITERS.get(e.get("unit"))
            if ml is not None and route in ("iv", None):
                end = instant(e["ended_at"]) if e.get("ended_at") else None
                case.fluids.append(Fluid(drug, at, end, number(e["dose"]) * ml))
            continue
        parts[drug, at].append((e, route))
    for (drug, at), found in sorted(parts.items()):
        case.doses.setdefault(drug, []).append(one_dose(drug, at, found))
        iv = [(e, route) for e, route in found if route in ("iv", None)]
        if iv:
            case.iv_doses.setdefault(drug, []).append(one_dose(drug, at, iv))


def systemic(drug: str, route: str | None, e: dict) -> bool:
    if route == "local":
        return False
    if route == "oral" and (drug == "vancomycin" or drug in tb.AMINOGLYCOSIDES):
        return False
    if route is None and drug in ("foscarnet", "ganciclovir") and e.get("unit") in tb.MILLIGRAMS:
        return number(e["dose"]) * tb.MILLIGRAMS[e["unit"]] > 10
    return True


def one_dose(drug: str, at: int, found: list[tuple[dict, str | None]]) -> Dose:
    mg = mg_per_kg = Fraction(0)
    known = True
    for e, _ in found:
        unit, dose = e.get("unit"), e.get("dose")
        if dose is not None and unit in tb.MILLIGRAMS:
            mg += number(dose) * tb.MILLIGRAMS[unit]
        elif dose is not None and unit in tb.MILLIGRAMS_PER_KG:
            mg_per_kg += number(dose) * tb.MILLIGRAMS_PER_KG[unit]
        else:
            known = False
    ends = [instant(e["ended_at"]) for e, _ in found if e.get("ended_at")]
    labels = [e["indication"] for e, _ in found if e.get("indication")]
    return Dose(
        drug,
        at,
        max(ends, default=None),
        max(instant(e["recorded_at"]) for e, _ in found),
        mg,
        mg_per_kg,
        known,
        any(route in ("iv", None) for _, route in found),
        labels[-1] if labels else None,
    )
