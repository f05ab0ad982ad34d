"""Duration of therapy: stop criteria and step down; and the fold over all rules of the virus."""

from . import tables as tb
from .courses import Therapy, edges, going, quantifiable, treatment_current
from .dosing import below
from .episodes import Episode, Key, instants, string
from .facts import Case, Load
from .virus import Clearance, OffTherapy, Response, Series, days_by

D = tb.DAY
STEPPED = ("foscarnet", "ganciclovir", "valganciclovir")


def latest_loads(case: Case, t: int) -> list[Load]:
    """Return the loads of the latest collection of any series."""
    known = [x for x in case.loads if x.at <= t and x.kind != "pass"]
    return [x for x in known if x.at == known[-1].at]


def immune(case: Case, joined: Therapy, t: int) -> bool:
    if case.has_hiv(t):
        counts = [r for r in case.of("cd4", end=t) if r.below(r.cut("100")) is not None]
        if not counts or t - counts[-1].at > 100 * D or t - joined.first < 90 * D:
            return False
        run = []
        while counts and counts[-1].below(counts[-1].cut("100")) is False:
            run.append(counts.pop())
        return bool(run) and run[0].at - run[-1].at >= 90 * D
    for analyte, limit in (("lymphocytes", "0.5"), ("cd4", "100")):
        known = [r for r in case.of(analyte, end=t) if r.below(r.cut(limit)) is not None]
        if known and t - known[-1].at <= 14 * D and known[-1].below(known[-1].cut(limit)) is False:
            return True
    return False


def may_stop(case: Case, t: int, clearance: Clearance, *, is_open: bool) -> bool:
    joined = going(case, t)
    if joined is None or clearance.therapy is None or not (is_open or treatment_current(case, t)):
        return False
    last = latest_loads(case, t)
    if not last or t - last[0].at > 8 * D:
        return False
    ends_on_tablets = any(drug == "valganciclovir" and at == joined.last for at, drug, _ in joined.doses())
    return days_by(joined, t) >= (21 if ends_on_tablets else 14) and immune(case, joined, t)


def may_step_down(case: Case, t: int, *, is_open: bool) -> bool:
    joined = going(case, t)
    if joined is None:
        return False
    courses = [c for c in joined.courses if c.drug in STEPPED]
    latest = [c for c in courses if c.last == max(other.last for other in courses)]
    if all(c.over(t) for c in latest) or any(c.phase != "induction" for c in latest):
        return False
    last = latest_loads(case, t)
    if is_open:
        return not (last and any(x.kind == "number" for x in last))
    days = {(at - joined.first) // D for at, drug, phase in joined.doses() if drug in STEPPED and phase == "induction"}
    recent = bool(last) and t - last[0].at <= 8 * D and all(x.kind == "clear" for x in last)
    return recent and len(days) >= 21 and quantifiable(case, joined.first - 30 * D, t)


def episodes(case: Case) -> list[Episode]:
    clearance = Clearance(case)
    response, off = Response(case, clearance), OffTherapy(case, clearance)
    state = {"stop": False, "step": False}

    def judge(t: int) -> dict[Key, str]:
        now: dict[Series, Load] = {s: x for s, xs in case.series.items() for x in xs if x.at == t and x.kind != "pass"}
        clearance.judge(t, now)
        response.judge(t, now)
        off.judge(t, now)
        state["stop"] = may_stop(case, t, clearance, is_open=state["stop"])
        state["step"] = not state["stop"] and may_step_down(case, t, is_open=state["step"])
        holds = {
            ("viral-clearance", tb.INFO): clearance.therapy is not None,
            ("refractory-cmv", tb.CRITICAL): response.refractory,
            ("probable-refractory-cmv", tb.WARNING): response.probable,
            ("slow-viral-response", tb.INFO): response.slow,
            ("viral-rebound", tb.WARNING): response.rebound,
            ("relapse", tb.WARNING): off.relapse,
            ("preemptive-treatment-indicated", tb.WARNING): off.preemptive,
            ("breakthrough-on-prophylaxis", tb.WARNING): off.breakthrough,
            ("stop-criteria-met", tb.INFO): state["stop"],
            ("step-down-due", tb.INFO): state["step"],
        }
        return {(code, None, None): severity for (code, severity), held in holds.items() if held}

    loads = {x.at for x in case.loads}
    cells = case.times("lymphocytes", "cd4")
    doses = case.dose_times(*tb.ANTIVIRALS)
    facts = loads | cells | doses | {at for at, _ in case.hiv} | {at for at, _, _ in case.transplants if at is not None}
    dues = edges(case, *tb.ANTIVIRALS) | {at + 8 * D + tb.TICK for at in loads}
    dues |= {at + 14 * D + tb.TICK for at in loads | cells} | {at + 100 * D + tb.TICK for at in cells}
    dues |= {at + 56 * D + tb.TICK for at in doses} | {at + 90 * D for at in doses}
    dues |= {at for e in below(case) for at in (e.onset, e.end) if at is not None}
    return string(instants(case, facts, dues), judge)
