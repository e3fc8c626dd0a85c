def test_a_folder_has_a_parent(migrated_db):
    with migrated_db.connect() as connection:
        add = """
            INSERT INTO folder (id, name, parent_id) VALUES (gen_random_uuid(), %s, %s)
            RETURNING id
        """
        (outer,) = connection.execute(add, ("outer", None)).fetchone()
        connection.execute(add, ("inner", outer))

        found = connection.execute("SELECT name FROM folder WHERE parent_id = %s", (outer,))
        assert found.fetchall() == [("inner",)]
