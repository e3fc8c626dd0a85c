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
    """A project of two revisions whose runs resume on the server that is up already."""
    with two_revisions(project, temporary_files, project.server_url()) as resumer:
        yield resumer


@pytest.fixture
def embedded(project: Project, temporary_files: Path) -> Iterator[Resumer]:
    """The same, with a kept server of its own."""
    with two_revisions(project, temporary_files, "embedded") as resumer:
        yield resumer


@contextmanager
def two_revisions(project: Project, folder: Path, server: str) -> Iterator[Resumer]:
    """Yield a project whose runs resume; nothing of it stays."""
    with cached(folder) as cache:
        project.revision("0001", ONE)
        project.revision("0002", TWO)
        resumer = Resumer(project, cache, server)
        yield resumer
        resumer.stop()
        assert list(cache.iterdir()) == []


def status(resumer: Resumer) -> list[str]:
    """Return the lines of `--db-status`."""
    return resumer.project.run("--db-status", server=resumer.server).outlines


def states(resumer: Resumer) -> list[str]:
    """Return the state and the number of each revision, as `--db-status` has them."""
    return [" ".join(line.split()[:2]) for line in status(resumer)[1:]]


def test_an_unchanged_run_finds_its_template_and_imports_no_alembic(embedded: Resumer) -> None:
    assert embedded.how() == "fresh: 2 revisions applied"
    embedded.project.tests(
        "import sys\n\ndef test_it(migrated_db):\n"
        "    assert not [name for name in sys.modules if name.partition('.')[0] == 'alembic']\n"
    )
    assert embedded.how() == "unchanged: 2 revisions"
    # comments, formatting and line endings do not count
    file = embedded.project.path / "migrations/versions/0001.py"
    text = file.read_text().replace('"""a revision"""', '"""another title"""\n\n# a comment')
    file.write_bytes(text.replace("(id int)", "(id int)").replace("\n", "\r\n").encode())
    assert embedded.how() == "unchanged: 2 revisions"


def test_only_what_is_new_or_had_failed_is_applied_and_status_lists_it(
    embedded: Resumer,
) -> None:
    assert [line.split() for line in status(embedded)] == [
        ["dbmigrate:", "nothing", "is", "kept", "for", "this", "project"],
        ["pending", "0001", "a", "revision"],
        ["pending", "0002", "a", "revision"],
    ]
    assert embedded.stop() == "dbmigrate: nothing is kept for this project"

    broken = embedded.project.revision("0003", 'op.execute("create tabel three (id int)")')
    assert embedded.run().ret == 1
    assert states(embedded) == ["done 0001", "done 0002", "failed 0003"]

    broken.write_text(broken.read_text().replace("tabel", "table"))
    result = embedded.run()
    assert (how(result), tables(result)) == (
        "resumed: 1 of 3 applied now (0003 had failed, and is retried)",
        ["one", "three", "two"],
    )

    fourth = 'op.execute("create table four (id int)")'
    embedded.project.revision("0004", fourth, doc="the fourth")
    assert states(embedded) == ["done 0001", "done 0002", "done 0003", "pending 0004"]
    first, *_, last = status(embedded)
    assert first.startswith("dbmigrate: PostgreSQL ")
    assert last.split()[2:] == ["the", "fourth"]

    result = embedded.run()
    assert (how(result), tables(result)) == (
        "resumed: 1 of 4 applied now",
        ["four", "one", "three", "two"],
    )
    # one that was resumed is listed once
    assert states(embedded) == [f"done 000{number}" for number in range(1, 5)]
    assert embedded.how() == "unchanged: 4 revisions"
    assert embedded.stop() == "dbmigrate: ended and removed: the embedded server"


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


def test_a_server_that_another_run_has_filled_is_left_alone(embedded: Resumer) -> None:
    embedded.how()
    taken = [psycopg.connect(address(embedded).conninfo()) for _ in range(190)]
    slow = embedded.project.command("--db-resume", server="embedded")
    with subprocess.Popen(slow, stdout=subprocess.PIPE, text=True) as run:
        more = []
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                more.append(psycopg.connect(address(embedded).conninfo()))
        for connection in [*taken, *more]:
            connection.execute("select 1")
            connection.close()
        output, _ = run.communicate(timeout=100)
    assert "unchanged: 2 revisions" in output


def test_edits_and_another_target_are_reasons_to_start_from_nothing(resumer: Resumer) -> None:
    versions = resumer.project.path / "migrations/versions"
    resumer.how()

    file = versions / "0001.py"
    file.write_text(file.read_text().replace("table one", "table uno"))
    result = resumer.run()
    assert (how(result), tables(result)) == (
        "rebuilt: 0001 was edited; 2 revisions applied",
        ["two", "uno"],
    )

    resumer.project.env(sync_env() + "\nANSWER = 42\n")
    assert resumer.how() == "rebuilt: env.py was edited; 2 revisions applied"

    result = resumer.run("--db-target=0001")
    assert (how(result), tables(result)) == (
        "rebuilt: dbmigrate_target was head, and is 0001 now; 1 revision applied",
        ["uno"],
    )
    assert resumer.how() == "unchanged: 2 revisions"

    (versions / "0002.py").unlink()
    result = resumer.run()
    assert (how(result), tables(result)) == (
        "rebuilt: 0002 is applied, and its script is gone; 1 revision applied",
        ["uno"],
    )


def test_modules_and_files_that_a_revision_uses_count_in_later_runs_too(
    resumer: Resumer,
) -> None:
    project = resumer.project
    project.write("helpers.py", 'NAME = "helped"')
    project.revision("0003", 'import helpers\nop.execute(f"create table {helpers.NAME} ()")')
    files = {
        name: project.write(f"migrations/{name}.sql", f"create table {name} (id int)")
        for name in ("three", "four")
    }
    project.revision("0004", 'op.execute(open("migrations/three.sql").read())')
    at_import = project.revision("0005", "op.execute(SQL)")
    at_import.write_text(
        at_import.read_text().replace(
            "revision =", 'SQL = open("migrations/four.sql").read()\nrevision =', 1
        )
    )
    resumer.how()
    project.write("helpers.py", '# a comment\nNAME = "helped"')
    assert resumer.how().startswith("resumed: 0 of 5") or resumer.how() == "unchanged: 5 revisions"
    project.revision("0006", 'op.execute("create table five (id int)")')
    assert resumer.how() == "resumed: 1 of 6 applied now"

    files["three"].write_text("create table drei (id int)")
    result = resumer.run()
    assert how(result).startswith("rebuilt: ")
    assert tables(result) == ["drei", "five", "four", "helped", "one", "two"]

    files["four"].write_text("create table vier (id int)")
    result = resumer.run()
    assert how(result).startswith("rebuilt: ")
    assert tables(result) == ["drei", "five", "helped", "one", "two", "vier"]

    project.write("helpers.py", 'NAME = "otherwise"')
    result = resumer.run()
    assert (how(result), tables(result)) == (
        "rebuilt: 0003 uses helpers.py, which was edited; 6 revisions applied",
        ["drei", "five", "one", "otherwise", "two", "vier"],
    )


def test_a_template_is_compared_again_until_it_matches_and_nothing_is_applied(
    resumer: Resumer,
) -> None:
    one = 'one = sa.Table("one", metadata, sa.Column("id", sa.Integer))\n'
    sentence = "the migrations leave table two; the models do not have it"
    resumer.project.models(one)
    unchecked = resumer.run("--db-check=off")
    assert (unchecked.ret, sentence in output(unchecked)) == (0, False)

    # the check is on again; differences are reported although nothing has changed
    results = [resumer.run(), resumer.run(), resumer.run("--db-check=warn")]
    assert [(it.ret, sentence in output(it)) for it in results] == [
        *((1, True), (1, True), (0, True))
    ]

    resumer.project.write(
        "models.py",
        f"import sqlalchemy as sa\n\nmetadata = sa.MetaData()\n{one}"
        'two = sa.Table("two", metadata, sa.Column("id", sa.Integer))\n',
    )
    result = resumer.run()
    assert "resumed: 0 of 2 applied now" in output(result)
    assert "; the schema matches the models" in output(result)


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
    for name in ("ours", "theirs") * 2:
        for file in texts.values():
            file.unlink(missing_ok=True)
        texts[name].write_text(sources[name])
        result = resumer.run()
        seen.append(how(result))
        assert tables(result) == sorted([name, "one", "two"])
    assert seen == [
        "fresh: 3 revisions applied",
        "rebuilt: 0003_ours is applied, and its script is gone; 3 revisions applied",
        *["unchanged: 3 revisions"] * 2,
    ]


def test_the_ini_setting_resumes_and_fresh_overrides_it(embedded: Resumer) -> None:
    embedded.project.ini("dbmigrate_resume = true")
    outcomes, servers = [], []
    for options in ([], [], ["--db-fresh"], []):
        outcomes.append(how(embedded.run(*options, resume=False)))
        servers.append(address(embedded).password)  # each server has one of its own
    assert outcomes == [
        "fresh: 2 revisions applied",
        "unchanged: 2 revisions",
        "fresh: 2 revisions applied",
        "unchanged: 2 revisions",
    ]
    assert servers[0] == servers[1] != servers[2] == servers[3]

    # alone it discards what is kept
    embedded.project.ini()
    assert how(embedded.run("--db-fresh", resume=False)) == "fresh: 2 revisions applied"
    assert list(embedded.cache.iterdir()) == []


def record(resumer: Resumer) -> Path:
    (file,) = resumer.cache.glob("pytest-dbmigrate/*/server.json")
    return file


def address(resumer: Resumer) -> Dsn:
    return Dsn.from_record(json.loads(record(resumer).read_text())["dsn"])


def change(resumer: Resumer, **facts: object) -> None:
    known = json.loads(record(resumer).read_text())
    record(resumer).write_text(json.dumps({**known, **facts}))


def test_a_kept_template_or_server_that_is_unusable_is_replaced_with_the_reason(
    embedded: Resumer,
) -> None:
    embedded.how()
    with psycopg.connect(address(embedded).conninfo(), autocommit=True) as connection:
        (name,) = connection.execute(
            "select datname from pg_database where datname like 'dbm%template'"
        ).fetchone()  # type: ignore[misc]
        connection.execute(f"alter database {name} allow_connections true")
    assert embedded.how() == "rebuilt: its template is not sealed; 2 revisions applied"

    unusable: list[tuple[dict[str, object], str]] = [
        ({"plugin": "0.0.9"}, "it was kept by pytest-dbmigrate 0.0.9"),
        ({"boot": "another"}, "the machine has rebooted"),
        ({"is_ready": False}, "the kept server's start was cut short"),
    ]
    for facts, reason in unusable:
        before = address(embedded)
        change(embedded, **facts)
        assert embedded.how() == f"rebuilt: {reason}; 2 revisions applied"
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(before.conninfo(), connect_timeout=3)


def test_a_killed_kept_server_is_started_again_if_its_data_is_there(embedded: Resumer) -> None:
    embedded.how()
    folder = Path(json.loads(record(embedded).read_text())["folder"])
    kill_server(folder)
    result = embedded.run()
    assert how(result) == "unchanged: 2 revisions"
    assert "; kept; it had ended and was started again" in output(result)

    kill_server(folder)
    # its shared memory is told of in that folder only, and other tests look for what is left
    ServerProcess([], str(folder / "data"), "", {}).end()
    (folder / "data").rename(folder / "lost")
    assert embedded.how().startswith("rebuilt: the kept server had ended, and could not be started")


def kill_server(folder: Path) -> None:
    os.kill(int((folder / "data/postmaster.pid").read_text().split()[0]), signal.SIGKILL)


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


def test_workers_share_what_is_kept(embedded: Resumer) -> None:
    embedded.project.tests(
        "import pytest\n\n@pytest.mark.parametrize('n', range(6))\n"
        "def test_it(migrated_db, n):\n"
        "    with migrated_db.connect() as connection:\n"
        "        connection.execute('create table mine ()')\n"
    )
    results = [
        embedded.project.run(option, "--db-resume", server="embedded", plugins=["xdist"])
        for option in ("-n2", "-n2", "-n0")
    ]
    assert [how(it) for it in results] == [
        "fresh: 2 revisions applied",
        *["unchanged: 2 revisions"] * 2,
    ]
    assert [it.parseoutcomes() for it in results] == [{"passed": 6}] * 3


def test_another_checkout_shares_nothing_that_is_kept(
    resumer: Resumer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumer.how()
    other = tmp_path / "checkout"
    shutil.copytree(resumer.project.path, other)
    monkeypatch.chdir(other)
    assert status(resumer)[0] == "dbmigrate: nothing is kept for this project"
    monkeypatch.chdir(resumer.project.path)
    assert status(resumer)[0] != "dbmigrate: nothing is kept for this project"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_kept_server_with_a_full_disk_is_replaced_with_the_reason(
    embedded: Resumer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded.how()
    folder = Path(json.loads(record(embedded).read_text())["folder"])
    before = address(embedded)
    embedded.project.revision("0003", THREE)
    data = folder / "data/base"
    with psycopg.connect(before.conninfo(), autocommit=True) as connection:
        connection.execute("checkpoint")
    with small_disk(data):
        result = embedded.run()
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
