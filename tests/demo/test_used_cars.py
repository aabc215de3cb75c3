from __future__ import annotations

import numpy as np

from demo.used_cars import ORIGIN, used_cars


def test_the_same_seed_gives_the_same_cars() -> None:
    assert used_cars(50).equals(used_cars(50))
    assert not used_cars(50).equals(used_cars(50, seed=8))


def test_columns_of_every_kind_with_holes() -> None:
    cars = used_cars(2000)
    assert (cars["price"] >= 200).all()
    assert cars["year"].between(2002, 2026).all()
    assert [cars[name].dtype.kind for name in ("year", "mileage", "owners")] == ["i", "f", "f"]
    shares = cars.isna().mean()
    assert set(shares[shares > 0].index) == {"mileage", "power", "gearbox", "owners"}
    assert shares.max() < 0.2


def test_prices_follow_age_and_power() -> None:
    cars = used_cars(2000).dropna()
    assert np.corrcoef(cars["year"], cars["price"])[0, 1] > 0.4
    assert np.corrcoef(cars["power"], cars["price"])[0, 1] > 0.2


def test_they_say_that_they_are_generated() -> None:
    assert "generated" in ORIGIN
    assert "no real cars" in ORIGIN
