"""Limits by key: a steady rate of requests, and attempts within a window; in bounded memory."""

from __future__ import annotations

from collector.core.rate_limits import AttemptLimit, RequestRates


class Clock:
    """A clock that stands until it is moved."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_attempts_of_a_window_are_counted_until_the_first_leaves_it() -> None:
    """The next may be made when the oldest of those that count is as old as the window."""
    clock = Clock()
    attempts = AttemptLimit(clock, most=2, window=60)
    attempts.count("a")
    clock.now += 10
    attempts.count("a")
    assert (attempts.wait("a"), attempts.wait("b")) == (50, 0)
    clock.now += 50
    assert attempts.wait("a") == 0


def test_an_attempt_is_taken_back_or_all_are_forgotten() -> None:
    """One that was not made does not count; after a success none does."""
    attempts = AttemptLimit(Clock(), most=2, window=60)
    for _ in range(2):
        attempts.count("a")
    attempts.refund("a")
    assert attempts.wait("a") == 0
    for _ in range(2):
        attempts.count("a")
    assert attempts.wait("a") > 0
    attempts.reset("a")
    assert attempts.wait("a") == 0


def test_attempts_remember_no_key() -> None:
    """What is counted by is a keyed hash: neither a name nor an address is anywhere in memory's table."""
    attempts = AttemptLimit(Clock(), most=2, window=60)
    attempts.count("canary-name 203.0.113.77")
    held = repr(vars(attempts))
    assert "canary-name" not in held
    assert "203.0.113.77" not in held


def test_attempts_are_bounded_in_memory() -> None:
    """A flood of keys makes it forget the oldest, not grow."""
    attempts = AttemptLimit(Clock(), most=1, window=60, capacity=100)
    for number in range(101):
        attempts.count(f"key{number}")
    assert attempts.wait("key0") == 0
    assert attempts.wait("key100") > 0
    assert attempts.held == 100


def test_requests_pass_up_to_the_limit_and_then_wait() -> None:
    """All of them at once; each key by itself. One that costs more than there is at once costs all."""
    rates = RequestRates(seconds=3_600, most_keys=10)
    assert [rates.spend("a", 3).wait > 0 for _ in range(4)] == [False, False, False, True]
    assert rates.spend("b", 3, cost=2).remaining == 1
    assert rates.spend("c", 3, cost=50).remaining == 0


def test_what_a_key_has_used_comes_back_at_a_steady_rate() -> None:
    """To the nanosecond: one of three in a minute every 20 seconds. A refused request uses nothing."""
    now = 5 * 10**9
    rates = RequestRates(seconds=60, most_keys=10, clock=lambda: now)
    assert [rates.spend("a", 3) for _ in range(3)] == [(2, 20, 0), (1, 40, 0), (0, 60, 0)]
    assert rates.spend("a", 3) == (0, 60, 20)
    now += 20 * 10**9 - 1
    assert rates.spend("a", 3).wait == 1
    now += 1
    assert [rates.spend("a", 3).wait for _ in range(2)] == [0, 20]


def test_keys_are_forgotten_once_their_whole_limit_is_available() -> None:
    """They are addresses. At the bound a new key replaces the least recent one, and a refused request none."""
    now = 5 * 10**9
    rates = RequestRates(seconds=1, most_keys=100, clock=lambda: now)
    for number in range(150):
        rates.spend(f"key{number}", 1)
    assert rates.held == 100
    assert [rates.spend("key149", 1).wait for _ in range(100)] == [1] * 100
    assert rates.held == 100
    assert [rates.spend(name, 1).wait for name in ("key50", "key0")] == [1, 0]
    now += 10**9
    rates.spend("another", 1)
    assert rates.held == 1


def test_attempts_from_before_the_clock_was_set_back_do_not_count() -> None:
    """They would for as long as it was ahead."""
    clock = Clock()
    attempts = AttemptLimit(clock, most=1, window=60)
    clock.now += 86_400
    attempts.count("a")
    assert attempts.wait("a") == 60
    clock.now -= 86_400
    assert attempts.wait("a") == 0
    attempts.count("a")
    assert attempts.wait("a") == 60
