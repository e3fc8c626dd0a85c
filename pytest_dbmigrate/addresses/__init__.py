"""Database addresses: what one is, and how the application learns it."""
