"""Settings: what the user asked for, in one frozen value."""
