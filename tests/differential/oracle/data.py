"""Results that cannot be right."""

from . import tables as tb
from .courses import edges, is_current
from .episodes import Episode, Key, instants, string
from .facts import Case

AFTER = 14 * tb.DAY


def watched(case: Case, t: int) -> bool:
    return case.exposed(tb.ANTIVIRALS, t, AFTER) or any(is_current(case, drug, t) for drug in tb.ANTIVIRALS)


def dues(case: Case) -> set[int]:
    return {at + AFTER + tb.TICK for at in case.dose_times(*tb.ANTIVIRALS)} | edges(case, *tb.ANTIVIRALS)


def implausible(case: Case, analyte: str) -> list[Episode]:
    state = {"open": False}
    verdicts: dict[int, bool] = {}  # collection time: whether no result of it is plausible
    for at, what, _, plausible in case.raw:
        if what == analyte:
            verdicts[at] = verdicts.get(at, True) and not plausible

    def judge(t: int) -> dict[Key, str]:
        state["open"] = watched(case, t) and verdicts.get(t, state["open"])
        return {("implausible-result", None, analyte): tb.INFO} if state["open"] else {}

    return string(instants(case, set(verdicts) | case.dose_times(*tb.ANTIVIRALS), dues(case)), judge)


def suspect(case: Case) -> list[Episode]:
    state = {"open": False}
    samples = {at for at, analyte, _, _ in case.raw if analyte in ("potassium", "calcium")}

    def judge(t: int) -> dict[Key, str]:
        state["open"] = watched(case, t) and (t in case.suspect if t in samples else state["open"])
        return {("suspect-sample", None, None): tb.INFO} if state["open"] else {}

    return string(instants(case, samples | case.dose_times(*tb.ANTIVIRALS), dues(case)), judge)


def episodes(case: Case) -> list[Episode]:
    analytes = sorted({what for _, what, _, plausible in case.raw if not plausible})
    return [e for analyte in analytes for e in implausible(case, analyte)] + suspect(case)
