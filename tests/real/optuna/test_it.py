def test_a_study_is_stored(migrated_db):
    with migrated_db.connect() as connection:
        connection.execute("INSERT INTO studies (study_name) VALUES ('first')")
        assert connection.execute("SELECT study_id, study_name FROM studies").fetchall() == [
            (1, "first")
        ]
