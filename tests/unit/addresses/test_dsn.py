"""Where a database is, and that its password stays hidden."""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from pytest_dbmigrate.addresses.dsn import Dsn, Secret, redact

ANY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
SOME = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
# what somebody types into a URL without quoting it
TYPED = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1)
HOSTS = st.sampled_from(["127.0.0.1", "localhost", "::1", "db.example.com", "/run/a socket"])
OPTIONS = st.dictionaries(
    st.sampled_from(["application_name", "options", "sslmode", "target_session_attrs"]), ANY
).map(lambda found: tuple(sorted(found.items())))
DSNS = st.builds(
    Dsn,
    host=HOSTS,
    port=st.integers(1, 65535),
    user=ANY,
    password=ANY.map(Secret),
    dbname=SOME,
    options=OPTIONS,
)
LOCAL = Dsn("127.0.0.1", 5433, "ann", Secret("s3cret"), "shop")
SOCKET = Dsn("/run/pg", 5433, "ann", Secret("s3cret"), "shop")


@given(DSNS)
def test_a_url_is_parsed_to_the_address_that_wrote_it(dsn: Dsn) -> None:
    assert Dsn.parse(dsn.url()) == dsn


@given(DSNS)
def test_a_record_gives_the_address_back(dsn: Dsn) -> None:
    assert Dsn.from_record(dsn.as_record()) == dsn


@given(DSNS)
def test_libpq_reads_the_same_address_from_the_conninfo_string(dsn: Dsn) -> None:
    expected = {key: str(value) for key, value in dsn.parts().items()}
    assert conninfo_to_dict(dsn.conninfo()) == expected


@given(DSNS)
def test_libpq_reads_the_same_address_from_the_url(dsn: Dsn) -> None:
    given_parts = {key: str(value) for key, value in dsn.parts().items() if value}
    found = {key: value for key, value in conninfo_to_dict(dsn.url()).items() if value}
    assert found == given_parts


@given(user=SOME, password=SOME)
def test_sqlalchemy_reads_the_same_user_and_password_from_the_url(user: str, password: str) -> None:
    url = make_url(Dsn("::1", 5433, user, Secret(password), "shop").url("psycopg"))
    assert (url.username, url.password, url.host, url.port) == (user, password, "::1", 5433)


@given(password=SOME, dbname=SOME)
def test_no_password_is_left_in_a_redacted_url(password: str, dbname: str) -> None:
    dsn = Dsn("127.0.0.1", 5433, "ann", Secret(password), dbname)
    shown = redact(f"cannot reach {dsn.url('asyncpg')}; is it up?")
    assert shown == f"cannot reach {Dsn.parse(dsn.url()).at(dbname)}; is it up?".replace(
        "postgresql:", "postgresql+asyncpg:"
    )
    assert Dsn.parse(str(dsn)).password == "***"


@given(SOME)
def test_no_password_is_left_in_a_redacted_conninfo_string(password: str) -> None:
    dsn = Dsn("127.0.0.1", 5433, "ann", Secret(password), "shop")
    assert conninfo_to_dict(redact(dsn.conninfo())) == {
        "host": "127.0.0.1",
        "port": "5433",
        "user": "ann",
        "password": "***",
        "dbname": "shop",
    }


@given(TYPED)
def test_no_password_is_left_of_a_url_that_was_typed_without_quoting(password: str) -> None:
    assert (
        redact(f"postgresql://ann:{password}@127.0.0.1:5433/shop")
        == "postgresql://ann:***@127.0.0.1:5433/shop"
    )


@given(SOME)
def test_the_repr_of_a_password_hides_it(password: str) -> None:
    assert repr(Dsn("::1", 1, "ann", Secret(password), "shop").parts()["password"]) == "'***'"


def test_a_long_password_is_taken_out_wherever_it_stands() -> None:
    password = "0123456789abcdef"
    assert redact(f"login {password!r} refused", password) == "login '***' refused"


LONG = st.text(
    st.characters(exclude_characters=".\\*", exclude_categories=["C", "Z"]),
    min_size=8,
    max_size=32,
).filter(lambda password: password not in ("postgres", "postgresql", "password"))


@given(LONG)
def test_a_long_password_is_taken_out_of_a_url_it_was_quoted_for(password: str) -> None:
    assert redact(f"to {quote(password, safe='')}!", password) == "to ***!"


@given(LONG)
def test_a_long_password_is_taken_out_of_a_repr(password: str) -> None:
    assert redact(f"[{[password]!r}]", password) in ("[['***']]", '[["***"]]')


@given(LONG, st.integers(0, 7))
def test_a_long_password_that_was_cut_is_taken_out_to_its_last_four_characters(
    password: str, cut: int
) -> None:
    cut = min(cut, len(password) - 4)
    assert redact(f"{password[: len(password) - cut]}...", password) == "***..."
    assert redact(f"...{password[cut:]}", password) == "...***"


@pytest.mark.parametrize("length", [100, 1000, 5000])
def test_a_password_as_long_as_a_clouds_token_is_taken_out(length: int) -> None:
    token = ("0123456789abcdef" * length)[:length]
    assert redact(f"login {token} refused", token) == "login *** refused"
    assert redact(f"login {token[:100]}...", token) == "login ***..."


def test_a_password_short_enough_to_be_a_word_is_left_in_other_text() -> None:
    assert redact("the shop is closed", "shop") == "the shop is closed"


def test_text_without_a_password_stays_as_it_is() -> None:
    text = "postgresql://ann@127.0.0.1:5433/shop, mailto:ann@example.com, password required"
    assert redact(text) == text


def test_the_repr_of_an_address_hides_the_password() -> None:
    assert repr(LOCAL) == (
        "Dsn(host='127.0.0.1', port=5433, user='ann', dbname='shop', options=())"
    )


def test_an_address_prints_as_a_url_without_the_password() -> None:
    assert str(LOCAL) == "postgresql://ann:***@127.0.0.1:5433/shop"


def test_the_repr_of_a_url_hides_the_password_alone() -> None:
    assert repr(LOCAL.url()) == "'postgresql://ann:***@127.0.0.1:5433/shop'"


def test_the_repr_of_a_conninfo_string_hides_the_password_alone() -> None:
    assert repr(LOCAL.conninfo()) == "'host=127.0.0.1 port=5433 user=ann password=*** dbname=shop'"


@pytest.mark.parametrize(
    ("dsn", "driver", "url"),
    [
        (LOCAL, "", "postgresql://ann:s3cret@127.0.0.1:5433/shop"),
        (LOCAL, "asyncpg", "postgresql+asyncpg://ann:s3cret@127.0.0.1:5433/shop"),
        (SOCKET, "", "postgresql://ann:s3cret@/shop?host=/run/pg&port=5433"),
        (Dsn("::1", 5432, "", Secret(), "shop"), "", "postgresql://[::1]:5432/shop"),
    ],
)
def test_a_url_is_written_for_a_driver(dsn: Dsn, driver: str, url: str) -> None:
    assert dsn.url(driver) == url


def test_the_sslmode_of_a_url_for_asyncpg_has_asyncpgs_name() -> None:
    dsn = Dsn.parse("postgresql://127.0.0.1/shop?sslmode=require")
    assert dsn.url("asyncpg") == "postgresql+asyncpg://127.0.0.1:5432/shop?ssl=require"


def test_what_a_url_leaves_out_has_libpqs_defaults() -> None:
    assert Dsn.parse("postgresql://localhost") == Dsn("localhost", 5432, "", Secret(), "postgres")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_a_url_is_taken_with_each_scheme_in_use(scheme: str) -> None:
    assert Dsn.parse(f"{scheme}://ann:s3cret@127.0.0.1:5433/shop") == LOCAL


def test_libpqs_keywords_in_a_url_are_parts_of_the_address() -> None:
    url = "postgresql:///shop?host=/run/pg&port=5433&user=ann&password=s3cret"
    assert Dsn.parse(url) == SOCKET


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://localhost/shop", "a server's URL starts with postgresql://"),
        (
            "postgresql://ann:s3cret@localhost:70000/",
            "the port in the server's URL is not a number below 65536",
        ),
        (
            "postgresql:///shop?host=/run/pg&port=five",
            "the port in the server's URL is not a number below 65536",
        ),
    ],
)
def test_an_unusable_url_is_refused_in_one_sentence(url: str, said: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  # the whole message is below
        Dsn.parse(url)
    assert str(refused.value) == said


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "/run/pg"])
def test_this_machine_is_known_by_its_addresses(host: str) -> None:
    assert Dsn(host, 5432, "", Secret(), "postgres").is_loopback


@pytest.mark.parametrize("host", ["10.0.0.1", "0.0.0.0", "db", "localhost.example.com", ""])
def test_every_other_host_is_another_machine(host: str) -> None:
    assert not Dsn(host, 5432, "", Secret(), "postgres").is_loopback


def test_another_database_of_the_server_differs_in_its_name_alone() -> None:
    assert LOCAL.at("stock") == Dsn("127.0.0.1", 5433, "ann", Secret("s3cret"), "stock")


@pytest.mark.parametrize("begun", ["postgresql://u:", "password='", "password=\\"])
def test_text_that_only_begins_like_a_secret_is_redacted_in_linear_time(begun: str) -> None:
    began = time.process_time()
    redact(begun * 20_000)
    assert time.process_time() - began < 20  # a search that starts anew everywhere takes hours


@pytest.mark.parametrize("option", ["hostaddr=203.0.113.5", "service=far", "servicefile=/x"])
def test_a_url_that_leads_past_its_host_is_refused(option: str) -> None:
    with pytest.raises(ValueError, match=r"^a server is named by its host, not by hostaddr or a"):
        Dsn.parse(f"postgresql://ann:s3cret@localhost/shop?{option}")


def test_a_dbname_among_the_options_is_the_database_and_can_be_left_for_another() -> None:
    dsn = Dsn.parse("postgresql://ann:s3cret@localhost/postgres?dbname=shop")
    assert dsn.dbname == "shop"
    assert conninfo_to_dict(dsn.at("other").conninfo())["dbname"] == "other"
