"""A change of knowledge: each patient is judged once anew, and what no longer holds is resolved with that reason.

The past is not told again: an episode that was over before the new ruleset came is not raised by it.
"""

from typing import Final

from monitor.identity import alert_id_of
from monitor.patient import Patient
from monitor.reconciliation import Change, reconcile
from monitor.times import NEVER, Time, iso
from monitor.types import Alert, Fold, Said, Saying

_SETTLED: Final = frozenset(("resolved", "retracted"))


def rejudge(p: Patient, now: Time) -> list[Change]:
    """What a patient loaded under another ruleset has to say of it at `now`, no earlier than its clock."""
    out: list[Change] = []
    p.clock = max(p.clock, now)
    p.news.clear()
    for fold in p.folds.values():
        _set_aside(p, fold, p.clock, out)
        alarm = reconcile(p, fold, p.clock, out)
        if alarm == NEVER:
            p.alarms.pop(fold, None)
        else:
            p.alarms[fold] = alarm
    for one in p.sayings:
        if one.said.state not in _SETTLED:
            _resolve(p, one, p.clock, out)
    return out


def _set_aside(p: Patient, fold: Fold, now: Time, out: list[Change]) -> None:
    """What the new ruleset says nothing of ends; what it would have said of the past counts as said."""
    rule = fold.rule
    current = {(episode.drug, episode.onset): episode for episode in fold.episodes}
    for key, last in fold.said.items():
        if key not in current:
            if last.state not in _SETTLED:
                _resolve(p, Saying(rule.code, rule.drug, rule.subject, *key, last), now, out)
            last.aside = True
    for key, episode in current.items():
        if episode.end is not None and key not in fold.said:
            level = episode.steps[-1][1]
            fold.said[key] = Said(0, "resolved", level, rule.severities[level], "", aside=True)


def _resolve(p: Patient, one: Saying, now: Time, out: list[Change]) -> None:
    said = one.said
    said.seq += 1
    said.state = "resolved"
    said.aside = True
    alert = Alert(
        alert_id_of(p.id, one.code, one.named, one.subject, one.onset),
        said.seq,
        "resolved",
        "resolved",
        one.code,
        said.severity,
        p.id,
        one.named,
        one.subject,
        iso(one.onset),
        iso(now),
        f"Resolved: {said.title}",
        "By the knowledge in force now this is no alert.",
        "",
        [],
        [],
        "ruleset",
        None,
        p.plan.ruleset,
    )
    out.append(Change(now, p.id, one.code, one.named or "", one.subject or "", one.onset, said.seq, alert))
