import dataclasses

import pytest

from beside.processor import Usage
from beside.search import LAG_US, LATE_US, Trial, highest

USAGE = Usage(1.0, 0.5, (0.9, 0.8), (0.1, 0.1))
CLEAN = Trial(rate=1000, sent=1000, received=1000, wrong=0, delay_us=500, lag_us=100, usage=USAGE)


def relay(limit, asked):
    """A relay that loses packets above a rate."""
    def play(rate):
        asked.append(rate)
        return dataclasses.replace(CLEAN, rate=rate, received=1000 if rate <= limit else 990)
    return play


@pytest.mark.parametrize("limit", [60, 110, 155, 199, 450, 900])
def test_the_limit_is_found_inside_above_and_below_the_range(limit):
    asked = []
    best = highest(relay(limit, asked), 100, 200, 12)
    assert 0.95 * limit <= best.rate <= limit and len(asked) == 12


def test_a_relay_that_lets_nothing_through_has_no_rate():
    assert highest(relay(0, []), 100, 200, 5) is None


@pytest.mark.parametrize("change, verdict", [
    ({}, "clean"),
    ({"received": 999}, "1 lost"),
    ({"wrong": 2}, "2 wrong"),
    ({"delay_us": LATE_US + 1}, "late"),
    ({"lag_us": LAG_US + 1}, "sender late"),
    ({"delay_us": LATE_US, "lag_us": LAG_US}, "clean"),
])
def test_a_trial_is_clean_when_every_packet_arrived_right_and_in_time(change, verdict):
    trial = dataclasses.replace(CLEAN, **change)
    assert (trial.verdict, trial.clean) == (verdict, verdict == "clean")


def test_processor_time_is_per_packet_that_arrived():
    assert CLEAN.cpu_per_million == 500
