from datetime import datetime, timedelta, timezone

from key_value.aio.core import clock
from key_value.aio.stores.simple import SimpleStore
from key_value.aio.testing import FakeClock


async def test_time_passes_for_a_store_when_the_clock_is_advanced() -> None:
    store = SimpleStore()
    with FakeClock() as fake:
        await store.put("key", {"a": 1}, ttl=100)
        assert await store.ttl("key") == ({"a": 1}, 100.0)
        fake.advance(99.5)
        assert await store.ttl("key") == ({"a": 1}, 0.5)


def test_the_clock_starts_at_the_current_time() -> None:
    with FakeClock():
        assert abs(clock.now() - datetime.now(timezone.utc)) < timedelta(minutes=1)


def test_the_clock_starts_at_the_given_time() -> None:
    start = datetime(2036, 11, 20, tzinfo=timezone.utc)
    with FakeClock(start) as fake:
        fake.advance(0.25)
        assert clock.now() == start + timedelta(milliseconds=250)


def test_the_real_clock_is_restored_afterwards() -> None:
    real = clock.now
    with FakeClock(), FakeClock():
        assert clock.now is not real
    assert clock.now is real
