"""A patient's clock: through every pending recording and due time, in order, one verdict an instant.

So catching up after a pause says what would have been said, each change at its own moment.
"""

from bisect import insort
from collections.abc import Iterable
from operator import attrgetter

from monitor.evaluation import settle, wake
from monitor.facts import APPLY
from monitor.keep import is_too_late, prune
from monitor.patient import Patient
from monitor.reconciliation import Change, reconcile
from monitor.times import ALWAYS, NEVER, Time
from monitor.types import Fact, Fold, Pending


def _newest_first(fact: Pending) -> Time:
    return -fact.recorded


def receive(p: Patient, facts: Iterable[Fact]) -> list[Fact]:
    """Puts facts into the patient's inbox, in any order; `advance` takes them out when their time has come.

    Returns those that are not taken: what happened before the kept history is frozen (monitor/keep.py).
    """
    late: list[Fact] = []
    taken: list[Fact] = []
    if p.kept_from == ALWAYS:
        taken.extend(facts)
    else:
        for fact in facts:
            (late if is_too_late(p, fact) else taken).append(fact)
    # Newest first: the next one due is taken from the end.
    if len(taken) == 1:
        insort(p.inbox, taken[0], key=_newest_first)
    else:
        p.inbox.extend(taken)
        p.inbox.sort(key=attrgetter("recorded"), reverse=True)
    return late


def next_due(p: Patient) -> Time:
    """When the patient next has something to be judged: a recording that waits, or a due time."""
    due = p.due
    if p.alarms:
        due = min(due, *p.alarms.values())
    if p.inbox and p.inbox[-1].recorded < due:
        due = max(p.inbox[-1].recorded, p.clock)
    return due


def advance(p: Patient, to: Time) -> list[Change]:
    """Takes the patient's clock to a time, both ends included, and returns every change that is to be said."""
    out: list[Change] = []
    inbox, news = p.inbox, p.news
    now = next_due(p)
    while now <= to:
        p.clock = now
        if now >= p.prune_at:
            prune(p)
        news.clear()
        changed: list[Fold] = []
        if inbox and inbox[-1].recorded <= now:
            while inbox and inbox[-1].recorded <= now:
                fact = inbox.pop()
                APPLY[type(fact)](p, fact)
            changed = settle(p, now)
        if p.due <= now:
            # What the facts brought is due at this same instant too.
            changed += wake(p, now)
        if changed or p.acted or p.alarms:
            _say(p, changed, now, out)
        now = next_due(p)
    p.clock = max(p.clock, to)
    return out


def _say(p: Patient, changed: list[Fold], now: Time, out: list[Change]) -> None:
    folds = dict.fromkeys(changed)
    if p.acted:
        p.acted = False
        folds |= dict.fromkeys(p.folds.values())
    for fold, alarm in list(p.alarms.items()):
        if alarm <= now:
            folds[fold] = None
    for fold in folds:
        alarm = reconcile(p, fold, now, out)
        if alarm == NEVER:
            p.alarms.pop(fold, None)
        else:
            p.alarms[fold] = alarm
