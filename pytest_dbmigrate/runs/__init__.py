"""One pytest command: its processes, its folder, and its end."""
