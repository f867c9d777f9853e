"""Who is let in: every route by every method with every kind of credential, made from the list of routes itself."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import httpx
import pytest

from sshjobs.errors import UsageError
from sshjobs.web.app import make_app
from sshjobs.web.guard import Access, Guard, Policy
from sshjobs.web.routes import Endpoint
from sshjobs.web.server import Settings, WebServer
from sshjobs.web.sources import Sources
from tests.cli.here import call_here
from tests.web.serving import Served, serving

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def routes(served: Served) -> list[Endpoint]:
    found = served.server._server.config.app.state.endpoints  # type: ignore[union-attr]
    assert isinstance(found, list) and len(found) > 15
    return found


def path_of(endpoint: Endpoint) -> str:
    path = endpoint.path.replace("{run}", "sweep-1").replace("{path:path}", "main.js")
    return path + ("?job=fit-1&stream=stdout" if path.endswith(("output", "download")) else
                   "?job=fit-1" if path.endswith("/job") else "?host=a" if path.endswith("/host") else "")


def credentials(served: Served) -> dict[str, dict[str, str]]:
    """What may come with a request, by name; only the last two are good for anything."""
    cookie, value = f"sshjobs-{served.server.port}", served.server._access.cookie_value
    own = {"Origin": served.address}
    return {
        "none": {}, "no token": {"Authorization": "Bearer"},
        "another token": {"Authorization": "Bearer " + "0" * 64}, "basic": {"Authorization": f"Basic {served.server.token}"},
        "token as cookie": {"Cookie": f"{cookie}={served.server.token}", **own},
        "cookie of another port": {"Cookie": f"sshjobs-1={value}", **own},
        "cookie cut": {"Cookie": f"{cookie}={value[:-1]}", **own},
        "cookie, foreign origin": {"Cookie": f"{cookie}={value}", "Origin": "http://evil.example"},
        "cookie, null origin": {"Cookie": f"{cookie}={value}", "Origin": "null"},
        "cookie, cross site": {"Cookie": f"{cookie}={value}", "Sec-Fetch-Site": "cross-site"},
        "cookie, same site": {"Cookie": f"{cookie}={value}", "Sec-Fetch-Site": "same-site", **own},
        "bearer, foreign host": {**served.bearer, "Host": f"evil.example:{served.server.port}"},
        "bearer, host without port": {**served.bearer, "Host": "127.0.0.1"},
        "bearer, foreign origin": {**served.bearer, "Origin": "https://evil.example"},
        "cookie": {"Cookie": f"{cookie}={value}", **own}, "bearer": served.bearer,
    }


def test_every_route_lets_in_whom_its_policy_names_and_nobody_else(served: Served) -> None:
    with httpx.Client(base_url=served.address, timeout=30) as client:
        for endpoint in routes(served):
            if endpoint.answer == "text/event-stream":
                continue
            for name, headers in credentials(served).items():
                foreign = "host" in name or "foreign origin" in name or "null origin" in name or "site" in name
                good = name in ("cookie", "bearer") or (endpoint.policy is Policy.OPEN and not foreign)
                # A body that fits nothing: who is let in is told what is wrong with it, and nothing is done.
                answer = client.request(endpoint.method, path_of(endpoint), headers=headers,
                                        json={"nonsense": 1} if endpoint.method == "POST" else None)
                let_in = answer.status_code in (200, 422)
                assert let_in is good, f"{endpoint.method} {endpoint.path} with {name}: {answer.status_code}"
                assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_streams_of_events_are_guarded_like_everything_else(served: Served) -> None:
    streams = [path_of(endpoint) for endpoint in routes(served) if endpoint.answer == "text/event-stream"]
    assert len(streams) == 2
    with httpx.Client(base_url=served.address, timeout=30) as client:
        for path in streams:
            for name, headers in credentials(served).items():
                with client.stream("GET", path, headers=headers) as answer:
                    assert (answer.status_code == 200) is (name in ("cookie", "bearer")), name


@pytest.mark.parametrize("base", ["", "/below"])
def test_the_router_has_no_route_without_a_policy(results: Path, base: str) -> None:
    from starlette.routing import Mount, Route

    def without(routes: list[object]) -> list[object]:
        return [one for route in routes for one in
                (without(route.routes) if isinstance(route, Mount) else  # type: ignore[arg-type]
                 [] if isinstance(route, Route) and isinstance(route.app, Guard) else [route])]

    app = make_app(Sources(results), Access("0" * 64, frozenset(), False, False, "c"), base=base)
    assert without(app.routes) == []  # type: ignore[attr-defined]
    app.router.add_route("/api/new", lambda request: None)  # type: ignore[attr-defined]
    assert len(without(app.routes)) == 1  # type: ignore[attr-defined]


def test_an_act_by_cookie_must_say_which_page_it_comes_from(served: Served) -> None:
    headers = credentials(served)["cookie"]
    del headers["Origin"]
    with httpx.Client(base_url=served.address) as client:
        assert client.post("/api/runs/sweep-1/pause", json={"jobs": None}, headers=headers).status_code == 403
        assert client.get("/api/runs", headers=headers).status_code == 200


def test_each_route_answers_to_its_own_method_alone(served: Served) -> None:
    by_path: dict[str, set[str]] = {}
    for endpoint in routes(served):
        by_path.setdefault(path_of(endpoint), set()).add(endpoint.method)
    with served.client() as client:
        for path, allowed in by_path.items():
            if "/events" in path:
                continue
            for method in METHODS:
                if method not in allowed and not (method == "HEAD" and "GET" in allowed):
                    assert client.request(method, path).status_code == 405, f"{method} {path}"


def test_a_server_for_reading_only_acts_for_nobody(results: Path) -> None:
    with serving(results, read_only=True) as served, served.client() as client:
        for endpoint in routes(served):
            if endpoint.policy is Policy.ACT:
                answer = client.post(path_of(endpoint), json={"jobs": None, "hosts": ["a"], "slots": 1})
                assert answer.status_code == 403, endpoint.path
        assert client.get("/api/runs").json()["read_only"] is True


def test_the_login_gives_a_cookie_that_is_not_the_token(served: Served) -> None:
    with httpx.Client(base_url=served.address) as client:
        assert client.post("/api/session", json={"token": "f" * 64}).status_code == 401
        assert client.get("/api/runs").status_code == 401
        answer = client.post("/api/session", json={"token": served.server.token})
        cookie = answer.headers["set-cookie"]
        assert served.server.token not in cookie
        assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower()
        assert client.get("/api/runs").status_code == 200


def test_a_server_that_was_started_again_knows_its_browsers(results: Path) -> None:
    with serving(results) as first:
        cookies, port = credentials(first)["cookie"], first.server.port
    with serving(results, port=port) as second, httpx.Client(base_url=second.address) as client:
        assert client.get("/api/runs", headers=cookies).status_code == 200


def test_the_token_is_kept_from_others_and_a_spoilt_one_is_replaced(results: Path, tmp_path: Path) -> None:
    path = tmp_path / "state" / "sshjobs" / "web-token"
    with serving(results) as served:
        token = served.server.token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with serving(results) as served:
        assert served.server.token != token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.0.2.7", "example.com"])
def test_other_machines_are_served_by_https_or_when_somebody_says_so(tmp_path: Path, host: str) -> None:
    with pytest.raises(UsageError, match="--insecure"):
        WebServer(Sources(tmp_path), Settings(host=host, port=0))


def test_a_proxy_may_call_us_by_another_name_below_another_path(results: Path) -> None:
    with serving(results, allowed_hosts=("lab.example",), base="/jobs") as served, served.client() as client:
        headers = {"Host": "lab.example", "Origin": "https://lab.example"}
        assert client.get("/jobs/api/runs", headers=headers).status_code == 200
        assert client.get("/jobs/", headers=headers).status_code == 200
        assert client.get("/api/runs").status_code == 404
        cookie = client.post("/jobs/api/session", json={"token": served.server.token}).headers["set-cookie"]
        assert "Path=/jobs" in cookie


@pytest.mark.parametrize("base", ["jobs", "/jobs/", "/a?b", "/a#b", "//evil.example", "/a//b", "/../a", "/.", "/a b", "/a\n", "/%2e%2e", "/ä"])
def test_a_base_path_that_cannot_be_is_refused(tmp_path: Path, base: str) -> None:
    with pytest.raises(UsageError, match="base path"):
        WebServer(Sources(tmp_path), Settings(port=0, base=base))


@pytest.mark.parametrize("base", ["/jobs", "/a/b", "/~me/v1.0", "/a/..b"])
def test_a_base_path_of_plain_names_is_taken(base: str) -> None:
    Settings(port=0, base=base).check()


@pytest.mark.parametrize("name", ["", " ", "https://lab.example", "lab.example/", "lab.example:", "lab.example:x", "*", "*.example", "a b",
                                  "lab.example\n", "-a", "a:123456", "[::1", "lab.example, other"])
def test_a_further_name_that_no_browser_says_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no browser calls"):
        Settings(port=0, allowed_hosts=("lab.example", name)).check()


@pytest.mark.parametrize("name", ["lab", "lab.example", "LAB.example:8443", "192.0.2.1:80", "[2001:db8::1]", "[::1]:8443", "my_host", "x"])
def test_a_further_name_as_browsers_say_it_is_taken(name: str) -> None:
    Settings(port=0, allowed_hosts=(name,)).check()


@pytest.mark.parametrize(("certificate", "key", "where", "why"), [
    (None, None, "cert.pem", "no such file"), (b"nothing of the kind", None, "cert.pem", "certificate or key cannot be read"), ("made", "key.pem", "key.pem", "no such file")])
def test_what_is_wrong_with_a_certificate_is_told_in_plain_words(tmp_path: Path, certificate: bytes | str | None, key: str | None, where: str,
                                                                 why: str) -> None:
    if isinstance(certificate, bytes):
        (tmp_path / "cert.pem").write_bytes(certificate)
    elif certificate is not None:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-keyout", tmp_path / "other.pem", "-out", tmp_path / "cert.pem"], check=True, capture_output=True, timeout=60)
    with pytest.raises(UsageError) as told:
        WebServer(Sources(tmp_path), Settings(port=0, certfile=str(tmp_path / "cert.pem"), keyfile=key and str(tmp_path / key)))
    said = str(told.value)
    assert said.startswith(f"{tmp_path / where}: ") and why in said.lower() and "[" not in said and "_ssl.c" not in said


def test_a_file_is_no_directory_of_runs(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    said = call_here("serve", "--results", str(tmp_path / "runs"), "--port", "0")
    assert (said.returncode, said.stdout) == (2, "") and said.stderr == f"sshjobs: {tmp_path / 'runs'}: it is no directory of runs\n"


@pytest.mark.parametrize("path", [
    "/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd", "/static/%2fetc%2fpasswd",
    "/static/vendor/../../guard.py", "/static/main.js%00.html", "/static/", "/static/vendor",
])
def test_only_files_of_the_pages_are_served(served: Served, path: str) -> None:
    import http.client

    # Not httpx, which would tidy the path.
    connection = http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 404, answer.read()
    connection.close()


def test_a_body_without_end_is_cut_off(served: Served) -> None:
    def endless() -> object:
        for _ in range(1 << 10):
            yield b"x" * (1 << 20)

    with served.client() as client:
        try:
            answer = client.post("/api/runs/sweep-1/pause", content=endless())  # type: ignore[arg-type]
            assert answer.status_code == 413
        except httpx.WriteError:
            # The server has hung up while we went on.
            pass
        assert client.get("/api/runs").status_code == 200
