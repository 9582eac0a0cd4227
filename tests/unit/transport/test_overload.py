"""What is answered and what is refused when there is too much to do, without a socket and without a clock."""

from hypothesis import given
from hypothesis import strategies as st

from extauthz.transport.overload import LEAST_LEFT_S, PATIENCE_S, Check, OverloadQueue, has_time

NEVER = float("inf")


def check(number: int, came_s: float = 0.0) -> Check:
    return number, b"", came_s, NEVER, ()


def holding(*numbers: int) -> OverloadQueue:
    queue = OverloadQueue()
    queue.add([check(number) for number in numbers])
    return queue


def ids(group: list[Check]) -> list[int]:
    return [one[0] for one in group]


def test_while_there_is_room_the_oldest_are_answered_first_and_nobody_is_refused():
    queue = holding(1, 2, 3)
    assert queue.too_much(3, 60.0) == [], "waiting is no overload"
    assert ids(queue.next_group(2)) == [1, 2]
    assert ids(queue.next_group(2)) == [3]
    assert ids(queue.next_group(2)) == []


def test_past_the_room_the_oldest_are_refused_and_then_the_newest_answered_first():
    queue = holding(1, 2, 3, 4, 5)
    assert ids(queue.too_much(3, 0.0)) == [1, 2]
    assert ids(queue.next_group(2)) == [5, 4]
    queue.add([check(6)])
    assert ids(queue.next_group(9)) == [6, 3]


def test_under_overload_those_who_waited_too_long_are_refused_though_there_is_room():
    queue = holding(1, 2, 3)
    queue.add([check(4, PATIENCE_S), check(5, PATIENCE_S)])
    assert ids(queue.too_much(4, PATIENCE_S)) == [1]
    assert ids(queue.too_much(4, PATIENCE_S * 1.5)) == [2, 3]
    assert ids(queue.next_group(9)) == [5, 4]


def test_an_overload_that_the_front_noticed_counts_as_one():
    queue = holding(1, 2)
    queue.newest_first = True
    assert ids(queue.next_group(1)) == [2]


def test_once_nothing_waits_the_overload_is_over():
    queue = holding(1, 2, 3)
    queue.too_much(2, 0.0)
    queue.next_group(9)
    queue.add([check(4, 1.0), check(5, 1.0)])
    assert queue.too_much(2, 9.0) == []
    assert ids(queue.next_group(1)) == [4]


def test_no_room_at_all_refuses_everything():
    assert ids(holding(1, 2).too_much(0, 0.0)) == [1, 2]


def test_what_was_given_up_is_neither_answered_nor_refused():
    queue = holding(1, 2, 3)
    queue.give_up([1, 3, 77])
    assert ids(queue.too_much(0, 0.0)) == [2]


def test_what_was_not_begun_is_next_again_in_the_same_order():
    queue = holding(1, 2, 3, 4)
    group = queue.next_group(3)
    queue.put_back(group[1:])
    assert ids(queue.next_group(9)) == [2, 3, 4]

    queue = holding(1, 2, 3, 4, 5)
    queue.too_much(4, 0.0)
    group = queue.next_group(4)
    queue.put_back(group[1:])
    queue.add([check(6)])
    assert ids(queue.next_group(9)) == [6, 4, 3, 2], "still the newest first"


def test_a_check_with_too_little_time_left_is_not_begun():
    assert has_time(10.0, 10.0 - 2 * LEAST_LEFT_S)
    assert not has_time(10.0, 10.0 - LEAST_LEFT_S / 2)
    assert not has_time(10.0, 11.0)
    assert has_time(NEVER, 1e9)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.floats(0, 0.2)), max_size=30))
def test_every_check_is_answered_or_refused_exactly_once(steps):
    queue, added, ended, now_s = OverloadQueue(), 0, [], 0.0
    for come, room, size, later_s in steps:
        queue.add([check(added + number, now_s) for number in range(come)])
        added, now_s = added + come, now_s + later_s
        ended += ids(queue.too_much(room, now_s))
        assert len(queue) <= room
        ended += ids(queue.next_group(size))
    ended += ids(queue.next_group(added))
    assert sorted(ended) == list(range(added))
