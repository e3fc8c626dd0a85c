from flask.testing import FlaskClient


def test_an_article(client: FlaskClient) -> None:
    client.post("/articles/pen")
    assert client.get("/articles").json == ["pen"]


def test_another_one(client: FlaskClient) -> None:
    client.post("/articles/ink")
    assert client.get("/articles").json == ["ink"]
