"""What is to be said: the episodes as they stand, held against what was said before.

New is raised (and resolved at once if it is over already), gone is retracted, ended is resolved, an end withdrawn is
reopened, gone and back is raised again with `seq` going on.
"""

from typing import Final, NamedTuple

from monitor.actions import OPEN, Standing, standing
from monitor.identity import alert_id
from monitor.patient import Patient
from monitor.times import NEVER, Time, iso
from monitor.types import GONE, OVER, PAUSED, WAITING, YIELDED, Alert, Episode, Evidence, Fold, Rule, Said
from monitor.wording import evidence_of, news_text, sentences

_WHY: Final = {
    GONE: "the condition no longer holds",
    OVER: "the exposure or the course ended",
    YIELDED: "another alert says it now",
    PAUSED: "the exposure or the course ended",
    WAITING: "a criterion no longer holds",
}
_BY_ACT: Final = {"acknowledged": "acknowledged", "snoozed": "snoozed", "overridden": "overridden"}

Key = tuple[str | None, Time]


class Change(NamedTuple):
    """A change of an alert's life, with what orders it among all others (contract, section 2)."""

    emitted: Time
    patient_id: str
    code: str
    drug: str
    subject: str
    onset: Time
    seq: int
    alert: Alert


def reconcile(p: Patient, fold: Fold, now: Time, out: list[Change]) -> Time:
    """Says the difference between a rule's episodes and what was said of it, into `out`.

    Returns when a snooze ends by itself (NEVER if none does).
    """
    p.judging = fold
    said = fold.said
    episodes = fold.episodes[min(fold.changed, max(len(fold.episodes) - 1, 0)) :]
    current: dict[Key, Episode] = {(episode.drug, episode.onset): episode for episode in episodes}
    gone = [key for key in fold.lost if key not in current and _stands(said.get(key))]
    fold.changed = len(fold.episodes)
    fold.lost.clear()
    for key in gone:
        _retract(p, fold, key, now, out)
    alarm = NEVER
    for key, episode in current.items():
        last = said.get(key)
        if episode.end is not None:
            if last is None or last.state == "retracted":
                nearest = min(gone, key=lambda old: abs(old[1] - key[1]), default=None)
                _say(p, fold, episode, "raised", OPEN, now, out, nearest)
                last = said[key]
            if last.state != "resolved":
                _close(p, fold, episode, "resolved", now, out)
            elif not last.aside and last.severity != fold.rule.severities[episode.steps[-1][1]]:
                _close(p, fold, episode, "updated", now, out)
            continue
        stands = standing(p, fold, episode, now)
        alarm = min(alarm, stands.until)
        if last is None or last.state == "retracted":
            nearest = min(gone, key=lambda old: abs(old[1] - key[1]), default=None)
            _say(p, fold, episode, "raised", stands, now, out, nearest)
        elif last.state == "resolved":
            _say(p, fold, episode, "reopened" if last.seq else "raised", stands, now, out)
        elif stands.state != last.state:
            status = _BY_ACT.get(stands.state) or ("updated" if stands.worse else "reopened")
            _say(p, fold, episode, status, stands, now, out)
        elif stands.state == "open" and episode.steps[-1][1] != last.level:
            _say(p, fold, episode, "updated", stands, now, out)
    return alarm


def _stands(last: Said | None) -> bool:
    """Whether something was said of an alert that would have to be taken back."""
    return last is not None and last.state != "retracted" and not last.aside


def _say(
    p: Patient,
    fold: Fold,
    episode: Episode,
    status: str,
    stands: Standing,
    now: Time,
    out: list[Change],
    replaces: Key | None = None,
) -> None:
    rule = fold.rule
    t, level = episode.steps[-1]
    words = rule.say(p, t, level, episode)
    severity = rule.severities[level]
    before = fold.said.get((episode.drug, episode.onset))
    stood = before.state if before is not None else None
    last = _next(fold, episode, stands.state, level, severity)
    last.title = words.title
    supersedes = None
    reason = None
    if replaces is not None:
        supersedes = alert_id(p.id, rule, Episode(replaces[1], replaces[0], []))
        reason = "replaces an alert whose onset differs; " + (news_text(p, rule) or "by facts known since")
    elif status == "reopened" and (stands.act is None or stood == "resolved"):
        reason = news_text(p, rule) or "its end no longer holds"
    elif stands.act is not None and (status, stood) != ("updated", "open"):
        reason = _act_text(stands, status)
    out.append(
        _alert(
            p,
            rule,
            episode,
            last,
            status,
            now,
            words.title,
            sentences(words.detail),
            words.recommendation,
            [evidence_of(p, fact) for fact in words.facts],
            reason,
            supersedes,
        )
    )


def _act_text(stands: Standing, status: str) -> str:
    act = stands.act
    assert act is not None
    if status == "updated":
        return f"worse than what {act.by} acted on"
    if status == "reopened":
        return f"reopened by {act.by}" if act.action == "reopen" else f"the snooze by {act.by} has ended"
    return f"by {act.by}" + (f": {act.reason}" if act.reason else "")


def _close(p: Patient, fold: Fold, episode: Episode, status: str, now: Time, out: list[Change]) -> None:
    """Says that an alert is over, or that it was of another severity than was known when it ended."""
    rule = fold.rule
    assert episode.end is not None
    t, level = episode.steps[-1]
    words = rule.say(p, t, level, episode)
    last = _next(fold, episode, "resolved", level, rule.severities[level])
    last.title = words.title
    news = news_text(p, rule)
    why = (rule.why.get(episode.why) or _WHY[episode.why]) + (f"; {news}" if news else "")
    out.append(
        _alert(
            p,
            rule,
            episode,
            last,
            status,
            now,
            f"Resolved: {words.title}",
            sentences(f"From {iso(episode.onset)} to {iso(episode.end)}: {words.detail}"),
            "",
            [evidence_of(p, fact) for fact, _ in p.news if p.concerns(rule, fact)],
            why,
            None,
        )
    )


def _retract(p: Patient, fold: Fold, key: Key, now: Time, out: list[Change]) -> None:
    rule = fold.rule
    episode = Episode(key[1], key[0], [])
    said = fold.said[key]
    last = _next(fold, episode, "retracted", said.level, said.severity)
    reason = news_text(p, rule) or "facts known since"
    out.append(
        _alert(
            p,
            rule,
            episode,
            last,
            "retracted",
            now,
            f"Retracted: {said.title}",
            f"By what is known now, this did not hold from {iso(key[1])}.",
            "",
            [evidence_of(p, fact) for fact, _ in p.news if p.concerns(rule, fact)],
            reason,
            None,
        )
    )


def _next(fold: Fold, episode: Episode, state: str, level: int, severity: str) -> Said:
    key = (episode.drug, episode.onset)
    last = fold.said.get(key)
    if last is None:
        last = fold.said[key] = Said(1, state, level, severity, "")
    else:
        last.seq += 1
        last.state, last.level, last.severity, last.aside = state, level, severity, False
    return last


def _alert(
    p: Patient,
    rule: Rule,
    episode: Episode,
    last: Said,
    status: str,
    now: Time,
    title: str,
    detail: str,
    recommendation: str,
    evidence: list[Evidence],
    reason: str | None,
    supersedes: str | None,
) -> Change:
    alert = Alert(
        alert_id(p.id, rule, episode),
        last.seq,
        status,
        last.state,
        rule.code,
        last.severity,
        p.id,
        episode.drug,
        rule.subject,
        iso(episode.onset),
        iso(now),
        title,
        detail,
        recommendation,
        evidence,
        list(p.plan.sources_of(rule, episode.drug)),
        reason,
        supersedes,
        p.plan.ruleset,
    )
    drug, subject = episode.drug or "", rule.subject or ""
    return Change(now, p.id, rule.code, drug, subject, episode.onset, last.seq, alert)
