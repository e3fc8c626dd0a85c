"""The template of a run: found, resumed or built."""
