"""What a schema is, how two of them differ, and how to say so."""
