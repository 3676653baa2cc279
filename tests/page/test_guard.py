"""Whom the page refuses: other sites, names that lead here, others without the token."""

import pytest
from visitor import HERE, Visitor

from negreplay.page.guard import COOKIE, Guard


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1:8750", None]
)
def test_another_site_can_write_nothing(taught: Visitor, origin: str | None):
    before = taught.content()
    taught.client.headers.pop("Origin")
    headers = {} if origin is None else {"Origin": origin}
    for path in ("undo", "forget", "rename", "learn", "predict", "load", "stop"):
        assert taught.client.post(f"/api/{path}", headers=headers).status_code == 403
    assert taught.content() == before


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[", "10.0.0.7:8750"])
def test_a_name_that_leads_here_is_not_ours(taught: Visitor, host: str):
    answer = taught.client.get("/api/state", headers={"Host": host, "Origin": f"http://{host}"})
    assert answer.status_code == 403 and "model" not in answer.json()


@pytest.mark.parametrize("host", ["localhost:8750", "127.0.0.1:1", "[::1]:8750"])
def test_this_machine_has_several_names(taught: Visitor, host: str):
    assert taught.client.get("/api/state", headers={"Host": host}).status_code == 200


def test_others_need_the_token(taught: Visitor):
    address = "http://192.168.1.5:8750"
    guard = Guard.of("0.0.0.0")
    assert len(guard.token) > 20 and not Guard.of("::1").token and guard.token not in repr(guard)
    guest = Visitor(taught.classroom, guard, address)
    assert guest.client.get("/").status_code == guest.client.get("/api/model").status_code == 401
    assert guest.client.post("/api/undo").status_code == guest.client.get("/?token=wrong").status_code == 401
    assert guest.client.get("/api/state", headers={"Cookie": f"{COOKIE}=wrong"}).status_code == 401
    entry = guest.client.get(f"/?token={guard.token}")
    assert entry.status_code == 303 and entry.headers["Location"] == "/"
    assert "HttpOnly" in entry.headers["Set-Cookie"] and "samesite=lax" in entry.headers["Set-Cookie"].lower()
    assert guest.client.get("/").status_code == 200 and guest.classes() == ["green", "red"]
    assert guest.client.get("/api/state", headers={"Host": "evil.example"}).status_code == 403
    assert guest.client.post("/api/undo", headers={"Origin": HERE}).status_code == 403


def test_files_of_the_machine_are_not_served(taught: Visitor):
    for path in ("/server.py", "/..%2fserver.py", "/%2e%2e/errors.py", "/api", "/docs", "/openapi.json"):
        assert taught.client.get(path).status_code == 404
