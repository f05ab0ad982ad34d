"""How alerts behave under pharmacists' actions: silent until it worsens, until a time, or to the end of the episode."""

from datetime import timedelta

import pytest

from tests.monitor.case import ZERO, D, H, action, alerts, dose, every, lab, patient, run

CODE = "hypokalemia"


def course(*labs, days=8):
    return [patient(), *(dose("foscarnet", 6000, at) for at in every(12 * H, ZERO, days * D)), *labs]


def low(at, value=2.8):
    return lab("potassium", value, at)


def of(changes, code=CODE):
    return [one for one in changes if one.code == code]


def id_of(events, code=CODE):
    return of(alerts(events), code)[0].alert_id


def life(events, until=None, code=CODE):
    return [(one.status, one.state, one.severity) for one in of(alerts(events, until), code)]


START = [low(D)]
RAISED = ("raised", "open", "warning")


def acted(what, *more, at=D + H, **fields):
    events = course(*START)
    return [*events, action(id_of(events), what, at, **fields), *more]


def test_acknowledged_is_silent_until_it_worsens():
    acknowledged = ("acknowledged", "acknowledged", "warning")
    assert life(acted("acknowledge")) == [RAISED, acknowledged]
    assert life(acted("acknowledge", low(2 * D, 2.6))) == [RAISED, acknowledged]
    assert life(acted("acknowledge", low(2 * D, 2.4))) == [RAISED, acknowledged, ("updated", "open", "critical")]


def test_a_resolution_is_said_even_of_a_silenced_alert():
    assert life(acted("acknowledge", low(2 * D, 4.0)))[-1] == ("resolved", "resolved", "warning")
    assert life(acted("override", low(2 * D, 4.0)))[-1] == ("resolved", "resolved", "warning")


def test_a_retraction_is_said_even_of_a_silenced_alert():
    events = acted("acknowledge")
    first = next(event for event in events if event.get("code") == "2823-3")
    gone = {**first, "status": "entered-in-error", "recorded_at": "2026-01-04T00:00:00Z"}
    assert life([*events, gone])[-1] == ("retracted", "retracted", "warning")


def test_snoozed_until_a_time_or_until_it_worsens():
    until = "2026-01-03T00:00:00Z"
    events = acted("snooze", until=until)
    assert life(events, 2 * D - timedelta(microseconds=1)) == [RAISED, ("snoozed", "snoozed", "warning")]
    assert life(events, 2 * D)[-1] == ("reopened", "open", "warning")
    worse = acted("snooze", low(D + 6 * H, 2.2), until=until)
    assert life(worse, 2 * D)[-1] == ("updated", "open", "critical")


def test_overridden_is_silent_for_the_rest_of_the_episode_unless_it_becomes_critical():
    overridden = ("overridden", "overridden", "warning")
    assert life(acted("override", low(3 * D, 2.7))) == [RAISED, overridden]
    assert life(acted("override", low(3 * D, 2.4)))[-1] == ("updated", "open", "critical")
    # What was critical when it was overridden stays silent.
    events = course(low(D, 2.3))
    silenced = [*events, action(id_of(events), "override", D + H), low(3 * D, 2.0)]
    assert life(silenced)[-1] == ("overridden", "overridden", "critical")
    # Eased and critical again is critical from below.
    eased = [*events, action(id_of(events), "override", D + H), low(2 * D, 2.7)]
    assert life(eased)[-1] == ("overridden", "overridden", "critical")
    assert life([*eased, low(3 * D, 2.5)])[-1] == ("overridden", "overridden", "critical")
    assert life([*eased, low(3 * D, 2.4)])[-1] == ("updated", "open", "critical")
    # A new episode speaks again.
    again = acted("override", low(3 * D, 4.0), low(4 * D, 2.8))
    assert life(again)[-1] == RAISED


def test_worse_is_measured_from_the_least_that_held_since_the_action():
    events = course(low(D, 2.3))
    for what in ("acknowledge", "snooze"):
        eased = [*events, action(id_of(events), what, D + H, until="2026-02-01T00:00:00Z"), low(2 * D, 2.7)]
        silent = life([*eased, low(3 * D, 2.5)])[-1]
        assert silent[2] == "critical"
        assert silent[1] != "open"
        assert life([*eased, low(3 * D, 2.4)])[-1] == ("updated", "open", "critical")


def test_what_held_is_measured_as_it_became_known():
    events = course(low(D, 2.3))
    acted_on = [*events, action(id_of(events), "override", D + H), low(3 * D, 2.4)]
    # That it had eased in between is learned only once it is critical again: nothing has become worse.
    late = {**low(2 * D, 2.7), "recorded_at": "2026-01-05T00:00:00Z"}
    assert life([*acted_on, late])[-1] == ("overridden", "overridden", "critical")
    # Both at once, or the second later: it was found to have become critical from below.
    both = {**low(4 * D, 2.4), "recorded_at": "2026-01-05T00:00:00Z"}
    assert life([*acted_on, late, both])[-1] == ("overridden", "overridden", "critical")
    later = [*acted_on, late, low(5 * D, 2.7), low(6 * D, 2.4)]
    assert life(later)[-1] == ("updated", "open", "critical")
    # Known all along, in any order of arrival.
    assert life(later[::-1]) == life(later)


def test_a_severity_that_was_seen_is_not_eased_by_what_was_not():
    worse = acted("acknowledge", low(2 * D, 2.6), low(3 * D, 2.4), severity="critical")
    assert life(worse)[-1][1] == "acknowledged"
    less = acted("acknowledge", severity="info")
    assert life(less) == [RAISED]


def test_reopened_by_hand():
    events = acted("acknowledge")
    assert life([*events, action(id_of(course(*START)), "reopen", D + 2 * H)])[-1] == ("reopened", "open", "warning")


def test_the_severity_acted_on_is_what_worse_is_measured_by():
    worse_by_then = acted("acknowledge", low(2 * D, 2.4), severity="critical")
    assert life(worse_by_then)[-1][1] == "acknowledged"


def test_who_did_what_and_why_is_in_the_reason():
    (change,) = [one for one in alerts(acted("override", reason="palliative")) if one.status == "overridden"]
    assert change.reason == "by pharmacist: palliative"


def test_the_reason_is_what_brought_the_change_not_what_was_done_before():
    well = low(2 * D, 4.0)
    withdrawn = {**well, "status": "entered-in-error", "recorded_at": "2026-01-05T00:00:00Z"}
    change = of(alerts(acted("acknowledge", well, withdrawn)))[-1]
    assert (change.status, change.state) == ("reopened", "acknowledged")
    assert change.reason.startswith(f"{well['event_id']} withdrawn")
    *_, worse, better = of(alerts(acted("acknowledge", low(2 * D, 2.4), low(3 * D, 2.8))))
    assert (worse.severity, worse.reason) == ("critical", "worse than what pharmacist acted on")
    assert (better.severity, better.reason) == ("warning", None)


def test_the_newest_version_of_an_action_holds():
    events = acted("acknowledge")
    corrected = {
        **events[-1],
        "action": "snooze",
        "until": "2026-02-01T00:00:00Z",
        "recorded_at": "2026-01-02T02:00:00Z",
    }
    assert life([*events, corrected])[-1][1] == "snoozed"


def test_an_action_carries_over_to_the_alert_that_replaces_its_own():
    events = acted("acknowledge")
    earlier = {**low(D - 2 * H), "recorded_at": "2026-01-04T00:00:00Z"}
    changes = of(alerts([*events, earlier]))
    assert [one.status for one in changes] == ["raised", "acknowledged", "retracted", "raised"]
    assert changes[-1].state == "acknowledged"
    assert changes[-1].supersedes == changes[0].alert_id
    assert changes[-1].onset_at < changes[0].onset_at


def test_an_action_on_no_alert_is_listed():
    p = run([*course(*START), action("aki/foscarnet/-/0000000000000000", "acknowledge", D + H)])
    from monitor.actions import unapplied

    assert [act.alert_id for act in unapplied(p)] == ["aki/foscarnet/-/0000000000000000"]
    assert not unapplied(run(acted("acknowledge")))


PROMISE = "Hypokalemia on foscarnet was overridden by pharmacist on 2026-01-02 01:00 UTC"


def overdue(events, until=9 * D):
    return of(alerts(events, until), "overdue-electrolytes")[0].detail


def promised(*more, reason="will monitor daily", days=12):
    events = course(*START, days=days)
    return [*events, action(id_of(events), "override", D + H, reason=reason), *more]


@pytest.mark.parametrize("reason", ["will monitor daily", "Will monitor potassium. no repeat today"])
def test_a_promise_to_monitor_is_held_to_its_word(reason):
    assert f'{PROMISE}: "{reason}"' in overdue(promised(reason=reason))
    assert "overridden" not in overdue(promised(reason="known"))


def others(at, *without):
    usual = {"calcium": 9.5, "magnesium": 2.0, "phosphate": 3.5}
    return [lab(what, value, at) for what, value in usual.items() if what not in without]


def test_a_promise_that_is_kept_is_not_quoted():
    daily = [low(i * D) for i in range(2, 9)]
    assert "overridden" not in overdue(promised(*daily))
    # Once drawn is enough while its own test is not overdue: 4 d after the last, not a microsecond before.
    once, us = 2 * D, timedelta(microseconds=1)
    assert PROMISE in overdue(promised(low(once), *others(once)))
    assert "overridden" not in overdue(promised(low(once), *others(once - us)))
    # Drawn before the promise is not drawn since.
    assert PROMISE in overdue(promised(low(D + H), *others(D)))
    assert "overridden" not in overdue(promised(low(D + H + us), *others(D)))


def test_a_promise_of_an_alert_that_ended_is_quoted_in_the_same_course_alone():
    ended = promised(low(2 * D, 4.0), *others(2 * D))
    assert life(ended)[-1][1] == "resolved"
    assert PROMISE in overdue(ended)
    again = [dose("foscarnet", 6000, at) for at in every(12 * H, 20 * D, 30 * D)]
    later = [one for one in alerts([*promised(low(2 * D, 4.0), days=4), *again], 28 * D) if one.drug == "foscarnet"]
    last = of(later, "overdue-electrolytes")[-1]
    assert last.onset_at >= "2026-01-24"
    assert "overridden" not in last.detail


def test_a_promise_that_was_taken_back_is_not_quoted():
    taken_back = promised(action(id_of(course(*START)), "reopen", D + 2 * H))
    assert "overridden" not in overdue(taken_back)


def test_promises_are_quoted_in_order_under_the_titles_of_their_rules():
    events = course(*START, lab("magnesium", 1.0, D), days=12)
    both = [
        action(id_of(events, "hypomagnesemia"), "override", D + H, reason="will monitor magnesium"),
        action(id_of(events), "override", D + 2 * H, reason="will monitor potassium"),
    ]
    detail = overdue([*events, *both])
    assert detail.index("Hypomagnesemia on foscarnet was") < detail.index("; Hypokalemia on foscarnet was")
