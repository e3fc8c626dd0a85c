"""Which tests run in which process. Knows no pytest."""
