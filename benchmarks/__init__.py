"""What the documentation promises, measured against the peers in the same run.

Each module is a program: `python -m benchmarks.apply`, or all of them by `make bench`.
"""
