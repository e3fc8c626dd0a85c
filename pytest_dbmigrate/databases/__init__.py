"""How a test gets its database: registered, copied from a sealed template, dropped."""
