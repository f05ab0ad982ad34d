"""What pharmacists' actions make of an alert: silent or not, as a function of its steps, the actions and the time.

"Until it worsens" means above the severity acted on, or above the least that it has eased to since.
"""

from collections.abc import Mapping
from itertools import accumulate
from types import MappingProxyType
from typing import Final, NamedTuple

from monitor.identity import alert_id, parts_of
from monitor.patient import Patient
from monitor.times import ALWAYS, NEVER, Time, clock_text
from monitor.types import Act, Episode, Fold

SEVERITY_RANK: Final = {"info": 0, "warning": 1, "critical": 2}
_STATES: Final = {"acknowledge": "acknowledged", "snooze": "snoozed", "override": "overridden", "reopen": "open"}
_UNKNOWN: Final[Mapping[int, Time]] = MappingProxyType({})


class Standing(NamedTuple):
    """Where an open alert stands, by which action, and when that ends by itself."""

    state: str
    act: Act | None
    until: Time
    worse: bool


OPEN: Final = Standing("open", None, NEVER, worse=False)


def standing(p: Patient, fold: Fold, episode: Episode, now: Time) -> Standing:
    """Where an open episode stands under the actions known at `now`."""
    acts = acts_on(p, fold, episode) if p.acts else []
    if not acts:
        return OPEN
    act = acts[-1]
    state = _STATES[act.action]
    if state == "open":
        return Standing("open", act, NEVER, worse=False)
    worse = _worsened(p, fold, episode, act)
    until = act.until if act.until is not None and state == "snoozed" else NEVER
    if worse or now >= until:
        return Standing("open", act, NEVER, worse)
    return Standing(state, act, until, worse=False)


def acts_on(p: Patient, fold: Fold, episode: Episode) -> list[Act]:
    """The actions that apply to an episode, in order of their recording.

    Those that name its alert; and those that name one which facts have replaced since, if this one, of the same code,
    drug and subject, was open when they were recorded.
    """
    own = alert_id(p.id, fold.rule, episode)
    existing = {alert_id(p.id, fold.rule, other) for other in fold.episodes}
    key = (fold.rule.code, episode.drug, fold.rule.subject)
    found = [
        act
        for act in p.acts.values()
        if act.alert_id == own
        or (
            act.alert_id not in existing
            and parts_of(act.alert_id) == key
            and episode.onset <= act.recorded < (NEVER if episode.end is None else episode.end)
        )
    ]
    return sorted(found, key=lambda act: (act.recorded, act.event_id))


def _worsened(p: Patient, fold: Fold, episode: Episode, act: Act) -> bool:
    """Whether the alert was, or was found to be, more severe than the least that held since it was acted on.

    Severities count in the order in which they became known. What was acted on may have been seen otherwise than it is
    known by now: it makes nothing less severe that was acted on as worse.
    """
    severities = fold.rule.severities
    known = [(max(t, known_at(p, fold, t)), SEVERITY_RANK[severities[level]]) for t, level in episode.steps]
    before = [rank for at, rank in known if at <= act.recorded]
    acted = SEVERITY_RANK[act.severity] if act.severity is not None else before[-1] if before else known[0][1]
    after = [rank for at, rank in sorted(known, key=lambda step: step[0]) if at > act.recorded]
    ranks = [acted, *(max(acted, rank) for rank in before[-1:]), *after]
    enough = SEVERITY_RANK["critical"] if act.action == "override" else 0
    return any(least < rank >= enough for least, rank in zip(accumulate(ranks, min), ranks[1:], strict=False))


def known_at(p: Patient, fold: Fold, t: Time) -> Time:
    """When what a rule judged at `t` became known: the latest recording among its facts of that time."""
    labs, drugs = len(p.plan.analytes), len(p.plan.drugs)
    columns = [
        p.series[source] if source < labs else p.given.get((source - labs) % drugs)
        for source in fold.rule.judged
        if 0 <= source < labs + 2 * drugs
    ]
    found = [column.x[column.last(t)] for column in columns if column is not None and t in column.t]
    return max([t, *(fact.recorded for fact in found)])


def unapplied(p: Patient) -> list[Act]:
    """The actions that apply to no alert of the patient."""
    applied = set()
    for fold in p.folds.values():
        for episode in fold.episodes:
            applied |= {act.event_id for act in acts_on(p, fold, episode)}
    return [act for act in p.acts.values() if act.event_id not in applied]


def promises_text(p: Patient, code: str, since: Time = NEVER, drawn: Mapping[int, Time] = _UNKNOWN) -> str:
    """What was promised when alerts that this test watches over were overridden ("will monitor ...").

    Of alerts that are open or ended at `since`, when the course began, or later (NEVER: open ones alone), where the
    override is the last word on them.
    `drawn`: for each analyte that the test asks for, when it was last collected; ALWAYS where it is overdue. A promise
    is kept where all of these that its alert is judged by were drawn since.
    """
    found = []
    for fold in p.folds.values() if p.acts else ():
        rule = p.plan.rule_data[fold.rule.code]
        if code not in rule.monitored_by:
            continue
        last = min((drawn[source] for source in fold.rule.judged if source in drawn), default=ALWAYS)
        for episode in fold.episodes:
            acts = acts_on(p, fold, episode) if episode.end is None or episode.end >= since else []
            if acts and _promises(acts[-1]) and last <= acts[-1].recorded:
                found.append((acts[-1], rule.title))
    return "; ".join(
        f'{title} was overridden by {act.by} on {clock_text(act.recorded)}: "{act.reason}"'
        for act, title in sorted(found, key=lambda one: (one[0].recorded, one[0].event_id))
    )


def _promises(act: Act) -> bool:
    return act.action == "override" and (act.reason or "").lower().startswith("will monitor")
