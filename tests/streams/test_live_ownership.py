"""Which records of the changelog count."""

from typing import NamedTuple

import pytest

from streams.live.ownership import Ownership


class Put(NamedTuple):
    partition: int
    offset: int


def owner(now, records=()):
    """An owner that has recovered some records, and taken over."""
    one = Ownership()
    counted = [one.admit(0, offset, key, headers) for offset, (key, headers) in enumerate(records)]
    one.take_over(0, now)
    return one, counted


@pytest.mark.parametrize("clock", [100, 5])
def test_what_a_former_owner_writes_late_does_not_count_whatever_the_clocks_say(clock):
    former, _ = owner(10)
    records = [(b"p", former.headers(0))]
    latter, _ = owner(clock, records)
    late = [*records, (b"p", latter.headers(0)), (b"q", latter.headers(0)), (b"p", former.headers(0))]
    third, counted = owner(clock, late)
    assert counted == [True, True, True, False]
    assert third.overwritten == {b"p": 0}


def test_what_was_written_anew_after_that_counts():
    former, _ = owner(10)
    latter, _ = owner(20)
    records = [(b"p", latter.headers(0)), (b"p", former.headers(0)), (b"p", latter.headers(0))]
    third, counted = owner(30, records)
    assert counted == [True, False, True]
    assert third.overwritten == {}


def test_records_of_a_version_that_wrote_no_epoch_count_also_after_one_that_did():
    _, counted = owner(10, [(b"p", None), (b"p", ()), (b"p", owner(5)[0].headers(0)), (b"p", None)])
    assert counted == [True, True, True, True]


def test_another_partition_has_its_own_epochs():
    one, _ = owner(10)
    assert one.admit(1, 0, b"r", None)


def test_an_owner_learns_of_a_record_between_its_own():
    one, _ = owner(10, [(b"p", None)])
    assert one.written(Put(0, 1))
    assert one.written(Put(0, 2))
    assert one.written(Put(1, 70))
    assert not one.written(Put(0, 4))
    assert one.written(Put(0, 5))


def test_an_owner_learns_of_a_record_between_its_recovery_and_its_first():
    one, _ = owner(10, [(b"p", None)])
    assert not one.written(Put(0, 2))


def test_an_offset_that_the_broker_does_not_tell_says_nothing():
    one, _ = owner(10, [(b"p", None)])
    assert one.written(Put(0, -1))
    assert one.written(Put(0, 1))


def test_a_partition_that_was_lost_and_is_regained_is_recovered_whole():
    first, _ = owner(10)
    records = [(b"p", first.headers(0)), (b"q", first.headers(0))]
    second, _ = owner(20, records)
    records.append((b"q", second.headers(0)))
    assert second.written(Put(0, 2))
    again = [second.admit(0, offset, key, headers) for offset, (key, headers) in enumerate(records)]
    assert again == [True, True, True]
    assert second.overwritten == {}


def test_of_a_partition_that_was_lost_nothing_is_remembered():
    one, _ = owner(10, [(b"p", None)])
    one.keep([1])
    assert one.admit(0, 70, b"p", [("epoch", (5).to_bytes(8, "big"))])
    one.keep([0])
    one.take_over(0, 4)
    assert one.headers(0) == [("epoch", (6).to_bytes(8, "big"))]


def test_what_was_going_to_be_written_anew_is_known_until_it_is_recovered_so():
    former, _ = owner(10)
    one, _ = owner(30, [(b"p", owner(20)[0].headers(0)), (b"p", former.headers(0))])
    assert one.overwritten == {b"p": 0}
    one.keep([0])
    assert one.overwritten == {b"p": 0}
    one.keep([])
    assert one.overwritten == {}
