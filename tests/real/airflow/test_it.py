def test_the_pool_of_a_migration_is_there_and_a_role_is_stored(migrated_db):
    """Of the core, and of the FAB provider, whose tables are in the same database."""
    with migrated_db.connect() as connection:
        connection.execute("INSERT INTO ab_role (name) VALUES ('Viewer')")

        assert connection.execute("SELECT id, pool, slots FROM slot_pool").fetchall() == [
            (1, "default_pool", 128)
        ]
        assert connection.execute("SELECT name FROM ab_role").fetchall() == [("Viewer",)]
