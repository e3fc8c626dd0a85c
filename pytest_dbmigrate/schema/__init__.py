"""Schema check: differences, the sentences that tell them, and the baseline of accepted ones."""
