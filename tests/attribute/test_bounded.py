from monitor.attribute.bounded import BoundedCache


def test_never_holds_more_than_the_bound_and_counts_what_it_forgets() -> None:
    cache: BoundedCache[int, int] = BoundedCache(100)
    for key in range(1000):
        cache.put(key, key)
        assert len(cache) <= 100
    assert len(cache) + cache.evicted == 1000
    assert all(cache.get(key) == key for key in range(951, 1000))


def test_what_is_used_stays() -> None:
    cache: BoundedCache[int, str] = BoundedCache(10)
    cache.put(0, "used")
    for key in range(1, 1000):
        cache.put(key, "new")
        assert cache.get(0) == "used"


def test_the_weight_is_bounded_too() -> None:
    cache: BoundedCache[int, str] = BoundedCache(10_000, weight_bound=100, weigh=len)
    for key in range(100):
        cache.put(key, "x" * 10, 10)
    held = sum(len(value) for _, value in cache.items())
    assert held <= 100 + 10  # one entry may pass the half of each generation
    assert cache.evicted == 100 - len(cache)


def test_none_is_a_value() -> None:
    cache: BoundedCache[str, None] = BoundedCache(10)
    cache.put("known", None)
    assert cache.get("known", False) is None
    assert cache.get("unknown", False) is False


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    cache: BoundedCache[int, int] = BoundedCache(8)
    for key in range(6):
        cache.put(key, key * 10)
    assert cache.get_all(range(8), -1) == {key: key * 10 if key < 6 else -1 for key in range(8)}
    cache.put_all({key: key * 10 for key in range(6, 9)})
    assert cache.get(8) == 80


def test_dropped_keys_are_gone_and_not_counted() -> None:
    cache: BoundedCache[int, int | None] = BoundedCache(4)
    for key in range(3):
        cache.put(key, None)
    cache.drop_all([0, 1, 2, 99])
    assert list(cache.items()) == []
    assert cache.evicted == 0
