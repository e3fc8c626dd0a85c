"""How times are taken and told: in turns, so that a busy moment hits every side alike."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from statistics import median

Seconds = list[float]


def in_turns(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Seconds]:
    """Return each side's times; every round runs all sides, in turn from either end.

    A side does its own untimed preparation and returns the seconds that count. The first
    round is thrown away: it fills the caches for all.
    """
    times: dict[str, Seconds] = {name: [] for name in sides}
    order = list(sides)
    for number in range(rounds + 1):
        for name in order:
            seconds = sides[name]()
            if number:
                times[name].append(seconds)
        order.reverse()
    return times


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that the work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def environ(**more: str) -> dict[str, str]:
    """Return the environment of a measured process, whose modules are compiled only once."""
    kept = {name: it for name, it in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **more}


def ratio(times: Seconds, peer: Seconds) -> float:
    """Return the median of the ratios within each round."""
    return median(ours / theirs for ours, theirs in zip(times, peer, strict=True))


def difference(times: Seconds, peer: Seconds) -> float:
    """Return the median of the differences within each round, in seconds."""
    return median(ours - theirs for ours, theirs in zip(times, peer, strict=True))


def show(title: str, times: Mapping[str, Seconds], peer: str) -> None:
    """Print a table: each side's median, fastest and slowest time, and its ratio to the peer."""
    width = max(len(name) for name in times)
    print(f"{title}; {_machine()}, {len(times[peer])} rounds in turns\n")
    print(f"{'':{width}}      median     fastest     slowest   ratio")
    for name, seconds in times.items():
        numbers = "".join(
            f"{value * 1000:9.1f} ms" for value in (median(seconds), min(seconds), max(seconds))
        )
        print(f"{name:{width}}{numbers}{ratio(seconds, times[peer]):8.2f}")
    print()


def judge(promise: str, value: float, most: float, unit: str = "") -> None:
    """Print the promise, what was measured, and whether it was met."""
    met = "met" if value <= most else "NOT MET"
    print(f"promise: {promise}, at most {most:g}{unit}: {met}, {value:.2f}{unit}\n", flush=True)


def _machine() -> str:
    return f"Python {platform.python_version()}, {os.cpu_count()} cores"
