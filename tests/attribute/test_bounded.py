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


def test_none_is_a_value() -> None:
    cache: BoundedCache[str, None] = BoundedCache(10)
    cache.put("known", None)
    assert cache.get("known", False) is None
    assert cache.get("unknown", False) is False
