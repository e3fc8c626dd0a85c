"""Postgres options of the servers that we start: for one run, or kept between runs."""

from __future__ import annotations

# For servers whose data is thrown away with the run.
THROW_AWAY = {
    "fsync": "off",  # no write waits for a disk
    "synchronous_commit": "off",  # no commit waits for a write
    "full_page_writes": "off",  # a torn page matters only after a crash that is recovered from
    "wal_level": "minimal",  # nobody replicates it, so that bulk loads need no log
    "max_wal_senders": "0",  # wal_level=minimal refuses to start with any
    "autovacuum": "off",  # no work in the background
    "checkpoint_timeout": "1d",  # nor at intervals
    "max_wal_size": "4GB",  # nor because of much that is written
    "max_connections": "200",  # many workers, each with an application's pool
    "dynamic_shared_memory_type": "mmap",  # in the data folder, and so removed with it
}
# For servers that live long enough to collect garbage. They recover from a crash of their own with
# all that was committed. After a crash of the machine, which is noticed, the server is replaced.
KEPT = {
    **THROW_AWAY,
    "synchronous_commit": "on",  # a commit survives the server; without fsync it is one write
    "autovacuum": "on",  # catalogs and the control database grow from run to run
    "checkpoint_timeout": "1h",  # recovery stays short
    "max_wal_size": "256MB",  # the log lies in memory
}


def as_arguments(options: dict[str, str]) -> list[str]:
    """Return server options as `-c name=value` arguments of `postgres`."""
    return [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
