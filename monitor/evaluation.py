"""From facts to episodes: each rule is folded along the patient's timeline, and no further back than a change reaches.

`evaluate` is the definition: everything judged from the start. `settle` gives the same with less work, because what
a rule judged before a fact's clinical time cannot depend on that fact (the prefix rule).
"""

from bisect import bisect_right
from operator import attrgetter

from monitor import courses
from monitor.facts import touch, touch_from
from monitor.keep import frozen
from monitor.patient import Patient
from monitor.times import ALWAYS, NEVER, Time
from monitor.types import WAITING, Episode, Fold, Level, Rule

_by_rank = attrgetter("rank")


def settle(p: Patient, now: Time) -> list[Fold]:
    """Judges anew whatever the facts taken in since the last call can have changed, as of `now`.

    Returns the folds whose episodes differ from before.
    """
    p.cleared = None
    if p.restate:
        for drug, since in p.restate.items():
            differs = courses.restate(p, drug, since)
            if differs is not None:
                # A regimen that differs with the last dose alone has one moment to be judged.
                mark = touch if p.given[drug].t[-1:] == [differs] else touch_from
                mark(p, p.plan.course_input(drug), differs)
        p.restate.clear()
    p.readings = None
    p.memo.clear()
    return _refold_dirty(p, now)


def wake(p: Patient, now: Time) -> list[Fold]:
    """Judges what only time brings: every fold whose next due time has come. Returns the folds that differ."""
    p.memo.clear()
    for fold in [fold for fold, due in p.wakes.items() if due <= now]:
        waited = [t for t, until in fold.waits.items() if until <= now] if fold.waits else []
        if len(waited) == 1 and fold.due > now and _rejudge_last(p, fold, waited[0], now):
            continue
        if waited or fold.due <= fold.frontier:
            p.dirty[fold] = min([*waited, fold.since]) if fold.due <= now else min(waited)
            fold.many = True
        else:
            p.dirty[fold] = fold.due
    return _refold_dirty(p, now)


def _rejudge_last(p: Patient, fold: Fold, t: Time, now: Time) -> bool:
    """Judges the last judged moment once more, where that changes nothing: the short way for most that waited."""
    if t + fold.rule.reach != fold.frontier or fold.level != fold.before or (fold.due != NEVER and fold.since != t):
        return False
    p.judging = fold
    del fold.waits[t]
    level, due = fold.rule.judge(p, t, fold.before)
    if level != fold.level or due <= now or t in fold.waits:
        fold.waits[t] = now
        return False
    fold.since = t
    _set_due(p, fold, due)
    return True


def evaluate(p: Patient, now: Time) -> dict[int, list[Episode]]:
    """Every episode of every rule, judged from the start: the definition that `settle` must agree with."""
    p.baselines.clear()
    p.restate = {drug: ALWAYS for drug in p.given if drug in p.plan.watched}
    p.dirty = dict.fromkeys(p.folds.values(), ALWAYS)
    settle(p, now)
    return {slot: fold.episodes for slot, fold in p.folds.items()}


def _refold_dirty(p: Patient, now: Time) -> list[Fold]:
    changed: list[Fold] = []
    dirty, dependents = p.dirty, p.plan.dependents
    while dirty:
        order = sorted(dirty, key=_by_rank) if len(dirty) > 1 else list(dirty)
        for fold in order:
            since = dirty.pop(fold)
            if refold(p, fold, since, now):
                changed.append(fold)
                if fold.rule.slot in dependents:
                    # What hears of it is of a higher rank: it is to be judged after all of this rank.
                    touch_from(p, p.plan.alert_input(fold.rule.slot), since)
                    break
    return changed


def refold(p: Patient, fold: Fold, since: Time, now: Time) -> bool:
    """Judges one rule from a time on. Returns whether its episodes differ from before."""
    p.judging = fold
    if since > fold.frontier and fold.due >= since and not fold.many:
        # Forward: nothing judged so far is in question, and one moment is to be judged.
        before = fold.level
        rule = fold.rule
        level, due = rule.judge(p, since, before)
        if due > now and not (rule.lazy and before <= 0 and (level > 0 or level <= WAITING)):
            fold.frontier = since + rule.reach
            fold.level = level
            fold.before = before
            fold.since = since
            if due != fold.due or fold.waits:
                _set_due(p, fold, due)
            if level == before or (level <= 0 and before <= 0):
                return False
            _step(p, fold, since, level)
            return True
    fold.many = False
    if since != ALWAYS:
        since -= fold.rule.reach
    if fold.due < since:
        # A due time that still waits lies before: go back to where it was set, so that it is not lost.
        since = min(since, fold.since)
    if fold.waits:
        fold.waits = {t: until for t, until in fold.waits.items() if t < since}
    if fold.notes:
        fold.notes = {reason: t for reason, t in fold.notes.items() if t < since}
    kept, before_cut = _cut(fold, since)
    _run(p, fold, since, now)
    return fold.episodes[kept:] != before_cut


def _run(p: Patient, fold: Fold, since: Time, now: Time) -> None:
    """Judges at `since`, then at every judged time after it and every due time up to `now`, in order."""
    rule = fold.rule
    judge = rule.judge
    times = _judged_times(p, rule, since)
    k = 0
    if since == ALWAYS:
        if not times:
            fold.frontier = ALWAYS
            _set_due(p, fold, NEVER)
            return
        since = times[0]
        k = 1
    t = since
    pending, pending_since = NEVER, t
    level = fold.level
    while True:
        before = level
        verdict, due = judge(p, t, level)
        assert due > t, f"{rule.code}: a due time that is not in the future"
        if verdict != level and (verdict > 0 or level > 0):
            _step(p, fold, t, verdict)
        level = verdict
        following = times[k] if k < len(times) else NEVER
        if due <= now and due < following:
            t = due
            continue
        # A due time that lies ahead of the clock waits, even where a fact's clinical time runs ahead of it.
        if due < following and due < pending:
            pending, pending_since = due, t
        if following == NEVER:
            break
        t = following
        k += 1
    if p.kept_from != ALWAYS and fold.episodes:
        # What the facts left from before the kept history would say is not said again.
        fold.episodes[:] = [one for one in fold.episodes if not frozen(p, one)]
    fold.frontier = t + rule.reach
    fold.level = level
    fold.before = before
    fold.since = pending_since
    _set_due(p, fold, pending)


def _set_due(p: Patient, fold: Fold, due: Time) -> None:
    fold.due = due
    if fold.waits:
        due = min(due, *fold.waits.values())
    before = p.wakes.get(fold, NEVER)
    if due != NEVER:
        p.wakes[fold] = due
    elif before != NEVER:
        del p.wakes[fold]
    if due <= p.due:
        p.due = due
    elif before == p.due:
        # The earliest of all lies later now.
        p.due = min(p.wakes.values(), default=NEVER)


def _step(p: Patient, fold: Fold, t: Time, level: Level) -> None:
    """Writes a change of level into the episodes."""
    last = fold.episodes[-1] if fold.episodes else None
    fold.changed = min(fold.changed, max(len(fold.episodes) - 1, 0))
    if last is not None and last.end is None:
        if level > 0:
            last.steps.append((t, level))
        else:
            last.end, last.why = t, level
    else:
        rule = fold.rule
        drug = rule.named(p, t) if rule.named is not None else rule.drug
        fold.episodes.append(Episode(t, drug, [(t, level)]))


def _cut(fold: Fold, since: Time) -> tuple[int, list[Episode]]:
    """Takes back what was judged at `since` or later. Returns how many episodes stay as they are, and the others as
    they were.
    """
    episodes = fold.episodes
    first = len(episodes)
    while first:
        end = episodes[first - 1].end
        if end is not None and end < since:
            break
        first -= 1
    fold.level = 0
    fold.changed = min(fold.changed, first)
    old = episodes[first:]
    if not old:
        return first, old
    del episodes[first:]
    fold.lost |= dict.fromkeys((episode.drug, episode.onset) for episode in old)
    for episode in old:
        if episode.onset >= since:
            break
        steps = [step for step in episode.steps if step[0] < since]
        episodes.append(Episode(episode.onset, episode.drug, steps))
        fold.level = steps[-1][1]
    return first, old


def _judged_times(p: Patient, rule: Rule, since: Time) -> list[Time]:
    """The clinical times after `since` at which a rule's verdict may change."""
    if len(rule.timed) == 1:
        column = p.times_of(*rule.timed)
        return column[bisect_right(column, since) :]
    times: set[Time] = set()
    for source in p.present & rule.timed:
        column = p.times_of(source)
        if column and column[-1] > since:
            times.update(column[bisect_right(column, since) :])
    return sorted(times)
