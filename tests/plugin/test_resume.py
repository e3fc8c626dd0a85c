"""`--db-resume`: what a run resumes, and when and why it starts from nothing."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.runs.server_process import ServerProcess
from tests.plugin.projects import Project, output, sync_env
from tests.plugin.resuming import Resumer, cached, how, tables

ONE, TWO, THREE = (f'op.execute("create table {it} (id int)")' for it in ("one", "two", "three"))


@pytest.fixture
def resumer(project: Project, temporary_files: Path) -> Iterator[Resumer]:
    """A project of two revisions whose runs resume; nothing of it stays."""
    with cached(temporary_files) as cache:
        project.revision("0001", ONE)
        project.revision("0002", TWO)
        resumer = Resumer(project, cache)
        yield resumer
        resumer.stop()
        assert list(cache.iterdir()) == []


def test_the_first_run_is_fresh_and_the_second_finds_all_unchanged(resumer: Resumer) -> None:
    assert [resumer.how(), resumer.how()] == [
        "fresh: 2 revisions applied",
        "unchanged: 2 revisions",
    ]


def test_an_unchanged_run_imports_no_alembic(resumer: Resumer) -> None:
    resumer.how()
    resumer.project.tests(
        "import sys\n\ndef test_it(migrated_db):\n"
        "    assert not [name for name in sys.modules if name.partition('.')[0] == 'alembic']\n"
    )
    assert resumer.how() == "unchanged: 2 revisions"


def test_only_what_is_new_is_applied(resumer: Resumer) -> None:
    resumer.how()
    resumer.project.revision("0003", THREE)
    result = resumer.run()
    assert (how(result), tables(result)) == (
        "resumed: 1 of 3 applied now",
        ["one", "three", "two"],
    )


def test_the_ini_setting_works_as_the_option_does(resumer: Resumer) -> None:
    resumer.project.ini("dbmigrate_resume = true")
    results = [resumer.run(resume=False) for _ in range(2)]
    assert [how(it) for it in results] == ["fresh: 2 revisions applied", "unchanged: 2 revisions"]


def test_a_failed_revision_is_retried_when_it_is_fixed(resumer: Resumer) -> None:
    broken = resumer.project.revision("0003", 'op.execute("create tabel three (id int)")')
    assert resumer.run().ret == 1
    broken.write_text(broken.read_text().replace("tabel", "table"))
    result = resumer.run()
    assert (how(result), tables(result)) == (
        "resumed: 1 of 3 applied now (0003 had failed, and is retried)",
        ["one", "three", "two"],
    )


def test_a_failed_revision_that_is_gone_is_not_retried(resumer: Resumer) -> None:
    broken = resumer.project.revision("0003", 'op.execute("nonsense")')
    assert resumer.run().ret == 1
    broken.unlink()
    told = "resumed: 0 of 2 applied now (0003 had failed, and its script is gone)"
    assert resumer.how() == told


def test_a_revision_that_failed_outside_of_a_transaction_is_not_resumed(
    resumer: Resumer,
) -> None:
    broken = resumer.project.revision(
        "0003",
        "with op.get_context().autocommit_block():\n"
        '    op.execute("create table three (id int)")\n'
        '    op.execute("create tabel four (id int)")',
    )
    assert resumer.run().ret == 1
    broken.write_text(broken.read_text().replace("tabel", "table"))
    result = resumer.run()
    assert (how(result), tables(result)) == (
        "rebuilt: 0003 was cut short outside of a transaction; 3 revisions applied",
        ["four", "one", "three", "two"],
    )


def test_status_lists_a_resumed_revision_once(resumer: Resumer) -> None:
    broken = resumer.project.revision("0003", 'op.execute("create tabel three (id int)")')
    resumer.run()
    broken.write_text(broken.read_text().replace("tabel", "table"))
    resumer.how()
    resumer.project.revision("0004", 'op.execute("create table four (id int)")')
    assert resumer.how() == "resumed: 1 of 4 applied now"
    lines = resumer.project.run("--db-status", server="embedded").outlines
    assert [line.split()[:2] for line in lines[1:]] == [
        ["done", f"000{number}"] for number in range(1, 5)
    ]
    assert resumer.how() == "unchanged: 4 revisions"


def test_revisions_that_make_roles_can_be_applied_again(resumer: Resumer) -> None:
    file = resumer.project.revision("0003", 'op.execute("create role reader")')
    resumer.how()
    file.write_text(file.read_text().replace("role reader", "role reader nologin"))
    assert resumer.how() == "rebuilt: 0003 was edited; 3 revisions applied"


def test_a_server_that_another_run_has_filled_is_left_alone(resumer: Resumer) -> None:
    resumer.how()
    taken = [psycopg.connect(address(resumer).conninfo()) for _ in range(190)]
    slow = resumer.project.command("--db-resume", server="embedded")
    with subprocess.Popen(slow, stdout=subprocess.PIPE, text=True) as run:
        more = []
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                more.append(psycopg.connect(address(resumer).conninfo()))
        for connection in [*taken, *more]:
            connection.execute("select 1")
            connection.close()
        output, _ = run.communicate(timeout=100)
    assert "unchanged: 2 revisions" in output


def test_comments_formatting_and_line_endings_do_not_count(resumer: Resumer) -> None:
    resumer.how()
    file = resumer.project.path / "migrations/versions/0001.py"
    text = file.read_text().replace('"""a revision"""', '"""another title"""\n\n# a comment')
    file.write_bytes(text.replace("(id int)", "(id int)").replace("\n", "\r\n").encode())
    assert resumer.how() == "unchanged: 2 revisions"


def test_edited_sql_is_a_reason_to_start_from_nothing(resumer: Resumer) -> None:
    resumer.how()
    file = resumer.project.path / "migrations/versions/0001.py"
    file.write_text(file.read_text().replace("table one", "table uno"))
    result = resumer.run()
    assert (how(result), tables(result)) == (
        "rebuilt: 0001 was edited; 2 revisions applied",
        ["two", "uno"],
    )


def test_a_module_that_a_revision_imports_counts(resumer: Resumer) -> None:
    resumer.project.write("helpers.py", 'NAME = "helped"')
    resumer.project.revision(
        "0003", 'import helpers\nop.execute(f"create table {helpers.NAME} ()")'
    )
    resumer.how()
    resumer.project.write("helpers.py", '# a comment\nNAME = "helped"')
    assert resumer.how().startswith("resumed: 0 of 3") or resumer.how() == "unchanged: 3 revisions"
    resumer.project.write("helpers.py", 'NAME = "otherwise"')
    result = resumer.run()
    assert (how(result), tables(result)) == (
        "rebuilt: 0003 uses helpers.py, which was edited; 3 revisions applied",
        ["one", "otherwise", "two"],
    )


@pytest.mark.parametrize(
    "body",
    [
        'op.execute(open("migrations/three.sql").read())',
        "op.execute(SQL)",
    ],
    ids=["read by the revision", "read when it is imported"],
)
def test_a_file_that_a_revision_reads_counts_in_later_runs_too(resumer: Resumer, body: str) -> None:
    sql = resumer.project.write("migrations/three.sql", "create table three (id int)")
    file = resumer.project.revision("0003", body)
    file.write_text(
        file.read_text().replace(
            "revision =", 'SQL = open("migrations/three.sql").read()\nrevision =', 1
        )
        if "SQL" in body
        else file.read_text()
    )
    resumer.how()
    resumer.project.revision("0004", 'op.execute("create table four (id int)")')
    assert resumer.how() == "resumed: 1 of 4 applied now"
    sql.write_text("create table drei (id int)")
    result = resumer.run()
    assert how(result).startswith("rebuilt: ")
    assert tables(result) == ["drei", "four", "one", "two"]


def test_an_edited_env_py_is_a_reason_to_start_from_nothing(resumer: Resumer) -> None:
    resumer.how()
    resumer.project.env(sync_env() + "\nANSWER = 42\n")
    assert resumer.how() == "rebuilt: env.py was edited; 2 revisions applied"


def test_edited_models_are_compared_again_and_nothing_else(resumer: Resumer) -> None:
    resumer.project.models('one = sa.Table("one", metadata, sa.Column("id", sa.Integer))')
    assert resumer.run("--db-check=warn").ret == 0
    resumer.project.write(
        "models.py",
        "import sqlalchemy as sa\n\nmetadata = sa.MetaData()\n"
        'one = sa.Table("one", metadata, sa.Column("id", sa.Integer))\n'
        'two = sa.Table("two", metadata, sa.Column("id", sa.Integer))\n',
    )
    result = resumer.run()
    assert "resumed: 0 of 2 applied now" in output(result)
    assert "; the schema matches the models" in output(result)


def test_differences_are_reported_again_although_nothing_has_changed(resumer: Resumer) -> None:
    resumer.project.models('one = sa.Table("one", metadata, sa.Column("id", sa.Integer))')
    results = [resumer.run() for _ in range(2)]
    sentence = "the migrations leave table two; the models do not have it"
    assert [(it.ret, sentence in output(it)) for it in results] == [(1, True), (1, True)]


def test_an_unchecked_template_is_compared_when_the_check_is_on_again(resumer: Resumer) -> None:
    resumer.project.models('one = sa.Table("one", metadata, sa.Column("id", sa.Integer))')
    assert resumer.run("--db-check=off").ret == 0
    assert resumer.run().ret == 1


def test_a_missing_script_is_a_reason_to_start_from_nothing(
    resumer: Resumer,
) -> None:
    resumer.how()
    (resumer.project.path / "migrations/versions/0002.py").unlink()
    result = resumer.run()
    assert (how(result), tables(result)) == (
        "rebuilt: 0002 is applied, and its script is gone; 1 revision applied",
        ["one"],
    )


def test_another_target_is_a_reason_to_start_from_nothing(resumer: Resumer) -> None:
    resumer.how()
    result = resumer.run("--db-target=0001")
    assert (how(result), tables(result)) == (
        "rebuilt: dbmigrate_target was head, and is 0001 now; 1 revision applied",
        ["one"],
    )


def test_switching_between_branches_costs_one_build_each(resumer: Resumer) -> None:
    project = resumer.project
    texts = {
        name: project.revision(
            f"0003_{name}", f'op.execute("create table {name} ()")', after="0002"
        )
        for name in ("ours", "theirs")
    }
    sources = {name: file.read_text() for name, file in texts.items()}
    seen = []
    for name in ("ours", "theirs") * 3:
        for file in texts.values():
            file.unlink(missing_ok=True)
        texts[name].write_text(sources[name])
        result = resumer.run()
        seen.append(how(result))
        assert tables(result) == sorted([name, "one", "two"])
    assert seen == [
        "fresh: 3 revisions applied",
        "rebuilt: 0003_ours is applied, and its script is gone; 3 revisions applied",
        *["unchanged: 3 revisions"] * 4,
    ]


def test_fresh_starts_from_nothing_and_overrides_the_ini(resumer: Resumer) -> None:
    resumer.project.ini("dbmigrate_resume = true")
    resumer.run(resume=False)
    seen = [how(resumer.run(*options, resume=False)) for options in (["--db-fresh"], [])]
    assert seen == ["fresh: 2 revisions applied", "unchanged: 2 revisions"]


def test_fresh_alone_discards_what_is_kept(resumer: Resumer) -> None:
    resumer.how()
    assert how(resumer.run("--db-fresh", resume=False)) == "fresh: 2 revisions applied"
    assert list(resumer.cache.iterdir()) == []


def test_an_unsealed_template_is_not_trusted(resumer: Resumer) -> None:
    resumer.how()
    with psycopg.connect(address(resumer).conninfo(), autocommit=True) as connection:
        (name,) = connection.execute(
            "select datname from pg_database where datname like 'dbm%template'"
        ).fetchone()  # type: ignore[misc]
        connection.execute(f"alter database {name} allow_connections true")
    assert resumer.how() == "rebuilt: its template is not sealed; 2 revisions applied"


def record(resumer: Resumer) -> Path:
    (file,) = resumer.cache.glob("pytest-dbmigrate/*/server.json")
    return file


def address(resumer: Resumer) -> Dsn:
    return Dsn.from_record(json.loads(record(resumer).read_text())["dsn"])


def change(resumer: Resumer, **facts: object) -> None:
    known = json.loads(record(resumer).read_text())
    record(resumer).write_text(json.dumps({**known, **facts}))


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"plugin": "0.0.9"}, "it was kept by pytest-dbmigrate 0.0.9"),
        ({"boot": "another"}, "the machine has rebooted"),
        ({"is_ready": False}, "the kept server's start was cut short"),
    ],
)
def test_an_unusable_kept_server_is_replaced_with_the_reason(
    resumer: Resumer, facts: dict[str, object], reason: str
) -> None:
    resumer.how()
    before = address(resumer)
    change(resumer, **facts)
    assert resumer.how() == f"rebuilt: {reason}; 2 revisions applied"
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(before.conninfo(), connect_timeout=3)


def test_a_killed_kept_server_is_started_again_with_its_data(resumer: Resumer) -> None:
    resumer.how()
    folder = json.loads(record(resumer).read_text())["folder"]
    os.kill(int(Path(folder, "data/postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    result = resumer.run()
    assert how(result) == "unchanged: 2 revisions"
    assert "; kept; it had ended and was started again" in output(result)


def test_a_kept_server_whose_data_is_gone_is_replaced(resumer: Resumer) -> None:
    resumer.how()
    folder = Path(json.loads(record(resumer).read_text())["folder"])
    os.kill(int((folder / "data/postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    # its shared memory is told of in that folder only, and other tests look for what is left
    ServerProcess([], str(folder / "data"), "", {}).end()
    (folder / "data").rename(folder / "lost")
    assert resumer.how().startswith("rebuilt: the kept server had ended, and could not be started")


def test_status_lists_each_revision_with_its_run(resumer: Resumer) -> None:
    resumer.how()
    resumer.project.revision("0003", THREE, doc="the third")
    lines = resumer.project.run("--db-status", server="embedded").outlines
    assert lines[0].startswith("dbmigrate: PostgreSQL ")
    assert [line.split()[:2] for line in lines[1:]] == [
        ["done", "0001"],
        ["done", "0002"],
        ["pending", "0003"],
    ]
    assert lines[3].split()[2:] == ["the", "third"]


def test_status_lists_a_failed_revision(resumer: Resumer) -> None:
    resumer.project.revision("0003", 'op.execute("nonsense")')
    resumer.run()
    lines = resumer.project.run("--db-status", server="embedded").outlines
    assert [line.split()[:2] for line in lines[1:]] == [
        ["done", "0001"],
        ["done", "0002"],
        ["failed", "0003"],
    ]


def test_status_of_nothing_is_all_pending(resumer: Resumer) -> None:
    lines = resumer.project.run("--db-status", server="embedded").outlines
    assert [line.split() for line in lines] == [
        ["dbmigrate:", "nothing", "is", "kept", "for", "this", "project"],
        ["pending", "0001", "a", "revision"],
        ["pending", "0002", "a", "revision"],
    ]


def test_stop_reports_what_it_has_done(resumer: Resumer) -> None:
    assert resumer.stop() == "dbmigrate: nothing is kept for this project"
    resumer.how()
    assert resumer.stop() == "dbmigrate: ended and removed: the embedded server"


def test_a_given_server_keeps_our_databases_until_stop(
    project: Project, temporary_files: Path
) -> None:
    url = project.server_url()
    project.revision("0001", ONE)
    with cached(temporary_files) as cache:
        resumer = Resumer(project, cache, url)
        seen = [resumer.how(), resumer.how()]
        with psycopg.connect(url) as connection:
            before = ours(connection)
        assert resumer.stop() == "dbmigrate: ended and removed: our databases on the server"
        with psycopg.connect(url) as connection:
            after = ours(connection)
    key = resumer_key(before)
    assert seen == ["fresh: 1 revision applied", "unchanged: 1 revision"]
    assert (key in before, key in after) == (True, False)


def ours(connection: psycopg.Connection[tuple[object, ...]]) -> set[str]:
    rows = connection.execute("select datname from pg_database where datname ~ '^dbm_'").fetchall()
    return {str(name) for (name,) in rows}


def resumer_key(found: set[str]) -> str:
    return next(name for name in found if name.endswith("_control"))


@pytest.mark.parametrize("option", ["-n0", "-n2"])
def test_workers_share_what_is_kept(resumer: Resumer, option: str) -> None:
    resumer.project.tests(
        "import pytest\n\n@pytest.mark.parametrize('n', range(6))\n"
        "def test_it(migrated_db, n):\n"
        "    with migrated_db.connect() as connection:\n"
        "        connection.execute('create table mine ()')\n"
    )
    results = [
        resumer.project.run(option, "--db-resume", server="embedded", plugins=["xdist"])
        for _ in range(2)
    ]
    assert [how(it) for it in results] == ["fresh: 2 revisions applied", "unchanged: 2 revisions"]
    assert [it.parseoutcomes() for it in results] == [{"passed": 6}] * 2


def test_another_checkout_shares_nothing_that_is_kept(resumer: Resumer, tmp_path: Path) -> None:
    resumer.how()
    other = tmp_path / "checkout"
    shutil.copytree(resumer.project.path, other)
    command = resumer.project.command("--db-status", server="embedded")
    said = subprocess.run(command, cwd=other, capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[0] == "dbmigrate: nothing is kept for this project"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_kept_server_with_a_full_disk_is_replaced_with_the_reason(
    resumer: Resumer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumer.how()
    folder = Path(json.loads(record(resumer).read_text())["folder"])
    before = address(resumer)
    resumer.project.revision("0003", THREE)
    data = folder / "data/base"
    with psycopg.connect(before.conninfo(), autocommit=True) as connection:
        connection.execute("checkpoint")
    with small_disk(data):
        result = resumer.run()
    assert how(result).startswith("rebuilt: the kept server could not be used: ")
    assert "No space left on device" in output(result)
    assert tables(result) == ["one", "three", "two"]


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Let a folder be on a disk that has no room for another database.

    The server's files move there, owners and all; it has none of them open.
    """
    moved = folder.with_name("moved")
    used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    folder.rename(moved)
    folder.mkdir()
    size = used + used // 3 + (2 << 20)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)
    try:
        subprocess.run(["cp", "-a", f"{moved}/.", folder], check=True)
        room = shutil.disk_usage(folder).free
        (folder / "ballast").write_bytes(bytes(max(0, room - (1 << 20))))
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        # what was replaced could not be removed whole while something was mounted there
        shutil.rmtree(folder.parents[1])
