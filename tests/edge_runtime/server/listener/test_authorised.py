"""What is open to all, and what a key opens."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.server.listener.authorised import Access, authorised
from edge_runtime.server.listener.keys import Keys
from tests.edge_runtime.server.listener.asking import App, Rejections, Reply, ask

USER, WATCHER, OWNER = "user-key-0123456789-abc", "watcher-key-0123456789-abc", "owner-key-0123456789-abc"
ROUTES = (
    "/v1/chat/completions /v1/completions /v1/models /v1/models/m /tokenize /detokenize /health /metrics"
    " /openapi.json /docs /admin /admin/reload /unknown"
).split()


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    path = tmp_path / "keys"
    path.write_text(f"{USER} user infer\n{WATCHER} watcher metrics\n{OWNER} owner admin\n")
    path.chmod(0o600)
    return Keys(path)


def asked(keys: Keys | None, path: str, key: str = "", method: str = "GET") -> Reply:
    app = authorised(App(), keys, Access(), Rejections().refuse)
    return ask(app, path, method, {"authorization": f"Bearer {key}"} if key else {})


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "DELETE"])
@pytest.mark.parametrize("path", ROUTES)
def test_every_route_wants_a_key(keys: Keys, path: str, method: str) -> None:
    reply = asked(keys, path, method=method)
    assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert (reply.error["code"], reply.error["type"]) == ("invalid_api_key", "authentication_error")


@pytest.mark.parametrize(
    "path", ["/health/live", "/health/ready", "/", "/page/app.js", "/page/deep/style.css"]
)
def test_liveness_and_the_page_are_open_for_reading_only(keys: Keys, path: str) -> None:
    assert asked(keys, path).status == 200
    assert asked(keys, path, method="HEAD").status == 200
    assert asked(keys, path, method="POST").status == 401


@pytest.mark.parametrize(
    "path",
    (
        "/health/live/ /health/live/x // /page /page/ /page/../v1/models /page//v1 /page/./x * /Page/app.js"
        " /pages/app.js /health/LIVE /v1/page/x http://localhost/page/x"
    ).split(),
)
def test_nothing_that_looks_like_it_is_open(keys: Keys, path: str) -> None:
    assert asked(keys, path).status == 401


def test_a_wrong_key_and_two_keys_open_nothing(keys: Keys) -> None:
    assert asked(keys, "/v1/models", "wrong-key-0123456789-abc").status == 401
    app = authorised(App(), keys, Access(), Rejections().refuse)
    twice = [("authorization", f"Bearer {USER}"), ("authorization", f"Bearer {USER}")]
    assert ask(app, "/v1/models", headers=twice).status == 401


@pytest.mark.parametrize(
    ("path", "opened_by"),
    [
        ("/v1/models", (USER, OWNER)),
        ("/metrics", (WATCHER, OWNER)),
        ("/admin/reload", (OWNER,)),
        ("/health", (USER, WATCHER, OWNER)),
        ("/metricsx", (USER, OWNER)),
        ("/openapi.json", (USER, OWNER)),
    ],
)
def test_a_key_opens_what_its_scopes_cover(keys: Keys, path: str, opened_by: tuple[str, ...]) -> None:
    statuses = {key: asked(keys, path, key).status for key in (USER, WATCHER, OWNER)}
    assert statuses == {key: 200 if key in opened_by else 403 for key in (USER, WATCHER, OWNER)}


def test_a_key_of_another_scope_is_told_so(keys: Keys) -> None:
    reply = asked(keys, "/metrics", USER)
    assert (reply.error["code"], reply.error["type"]) == ("insufficient_scope", "permission_error")


def test_the_app_is_told_the_keys_name_and_never_the_key(keys: Keys) -> None:
    app = App()
    guarded = authorised(app, keys, Access(), Rejections().refuse)
    ask(guarded, "/v1/models", headers={"authorization": f"Bearer {USER}"})
    assert app.scopes[0]["state"]["client"] == "user"


def test_without_keys_everything_is_open_and_a_client_is_its_address() -> None:
    app = App()
    guarded = authorised(app, None, Access(), Rejections().refuse)
    assert ask(guarded, "/metrics").status == 200
    assert ask(guarded, "/metrics", changed={"client": None}).status == 200
    assert [each["state"]["client"] for each in app.scopes] == ["192.0.2.7", "local"]


def test_what_is_open_can_be_chosen(keys: Keys) -> None:
    app = authorised(App(), keys, Access(open_paths=("/only",), open_folders=()), Rejections().refuse)
    assert [ask(app, path).status for path in ("/only", "/", "/health/live", "/page/x")] == [
        200,
        401,
        401,
        401,
    ]
