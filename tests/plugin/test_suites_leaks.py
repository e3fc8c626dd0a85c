"""A unit suite that leaks in every way, and an integration suite that must not notice."""

from __future__ import annotations

import pytest

from tests.plugin.suites import Suites, rows, verdict

SHARED = """
class Client:
    timeout = 30

def say_goodbye(): pass
"""
# Left behind by files that are only imported, and by fixtures and tests that undo nothing.
CONFTEST = """
import secrets
import pytest

secrets.token_bytes = lambda size=32: b"0" * size

@pytest.fixture(scope="session", autouse=True)
def frozen_time():
    import time
    time.time = lambda: 0.0
    yield
"""
LEAKS = """
import atexit, builtins, locale, logging, os, signal, sys, types, warnings

import shared

os.urandom = lambda size: b"1" * size
sys.modules["payments"] = types.ModuleType("payments")
os.environ["API_URL"] = "http://mocked"
shared.Client.timeout = 0
builtins.sorted = lambda items, **options: list(items)
atexit.register(shared.say_goodbye)

def test_changes_the_folder(tmp_path): os.chdir(tmp_path)
def test_sets_a_signal_handler(): signal.signal(signal.SIGALRM, signal.SIG_IGN)
def test_sets_a_locale(): locale.setlocale(locale.LC_ALL, "C.UTF-8")
def test_configures_logging(): logging.disable(logging.CRITICAL)
def test_replaces_the_filters_of_warnings():
    warnings.warn_explicit = lambda *arguments, **named: None
    warnings.warn = lambda *arguments, **named: None
"""
TESTS = """
import atexit, locale, logging, os, secrets, signal, sys, time, warnings

import pytest
import shared

def test_random_bytes(): assert os.urandom(8) != os.urandom(8)
def test_secrets(): assert secrets.token_bytes(8) != secrets.token_bytes(8)
def test_time(): assert time.time() > 1_000_000
def test_a_module():
    import payments
    assert payments.FEE == 3
def test_the_environment(): assert "API_URL" not in os.environ
def test_a_class(): assert shared.Client.timeout == 30
def test_a_builtin(): assert sorted([2, 1]) == [1, 2]
def test_the_exit():
    registered = []
    class Anything:
        def __eq__(self, function): registered.append(function)
    atexit.unregister(Anything())
    assert shared.say_goodbye not in registered
def test_the_folder(): assert os.path.exists("pytest.ini")
def test_the_signal_handler(): assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
def test_the_locale(): assert locale.setlocale(locale.LC_ALL) == "C"
def test_logging(caplog):
    logging.getLogger("app").error("heard")
    assert caplog.messages == ["heard"]
def test_warnings():
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard")
"""
NUMBER = TESTS.count("def test_")


@pytest.fixture
def leaking(suites: Suites, monkeypatch: pytest.MonkeyPatch) -> Suites:
    """Suites `unit`, which leaks in thirteen ways, and `integration`, which looks for each."""
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.setenv(name, "C")
    monkeypatch.setenv("PYTHONCOERCECLOCALE", "0")
    monkeypatch.setenv("PYTHONUTF8", "0")
    suites.ini("pythonpath = lib")
    suites.write("lib/shared.py", SHARED)
    suites.write("lib/payments.py", "FEE = 3\n")
    suites.write("tests/unit/conftest.py", CONFTEST)
    suites.write("tests/unit/test_leaks.py", LEAKS)
    suites.write("tests/integration/test_notices.py", TESTS)
    return suites


IN_THIS_ORDER = ("tests/unit", "tests/integration")


def test_under_plain_pytest_every_leak_breaks_a_test(leaking: Suites) -> None:
    result = leaking.run("--db-suites=off", *IN_THIS_ORDER, "-p", "no:cacheprovider")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert verdict(result).startswith(f"{NUMBER} failed, 5 passed")


@pytest.mark.parametrize("how", [(), ("-n", "2"), ("-n0",), ("--db-suites=concurrent",)], ids=str)
def test_with_suites_no_leak_reaches_the_other_suite(leaking: Suites, how: tuple[str, ...]) -> None:
    result = leaking.run(*how, *IN_THIS_ORDER)

    assert result.ret == pytest.ExitCode.OK
    assert {name: cells[:2] for name, cells in rows(result).items()} == {
        "unit": ["5", "0"],
        "integration": [str(NUMBER), "0"],
    }
