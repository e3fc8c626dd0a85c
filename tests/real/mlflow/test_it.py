def test_an_experiment_and_a_user_are_stored(migrated_db):
    """Of both environments, which share the database."""
    with migrated_db.connect() as connection:
        connection.execute("INSERT INTO experiments (name) VALUES ('first')")
        connection.execute("INSERT INTO users (username, is_admin) VALUES ('ada', true)")

        experiments = connection.execute("SELECT workspace, name FROM experiments")
        assert experiments.fetchall() == [("default", "first")]
        assert connection.execute("SELECT id, username FROM users").fetchall() == [(1, "ada")]
