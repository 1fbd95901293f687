"""A key goes to the origin that it was configured for, and nowhere else: servers record what they are sent."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import tirage
from tests.cli.command_line import problems, run
from tirage.core.errors import ConfigError, ModelAuthError
from tirage.models.keys import credentials_in, key_for, origin, without_credentials
from tirage.runtime.config import AgentConfig, ModelConfig
from tirage.runtime.event_loop import run_sync
from tirage.runtime.opening.embedders import open_embedder
from tirage.runtime.opening.models import open_models


@contextmanager
def recording(status: int = 200) -> Iterator[tuple[str, list[str | None]]]:
    """A chat server that keeps the authorization header of each request; with another status it repeats the header in its refusal."""
    seen: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, data: object) -> None:
            seen.append(self.headers.get("authorization"))
            body = json.dumps(data if status == 200 else {"error": {"message": f"wrong key: {seen[-1]}"}}).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self._answer({"data": [{"id": "m"}]})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if "input" in asked:
                self._answer({"data": [{"index": n, "embedding": [1.0, 2.0]} for n in range(len(asked["input"]))]})
                return
            message = {"role": "assistant", "content": "\\boxed{2}"}
            usage = {"prompt_tokens": 1, "completion_tokens": 1}
            self._answer({"choices": [{"index": 0, "message": message, "text": "\\boxed{2}", "finish_reason": "stop"}], "usage": usage})

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.setenv("OTHER_KEY", "other-secret")


def test_a_server_that_no_key_was_configured_for_gets_none() -> None:
    with recording() as (url, seen):
        assert tirage.solve("1 + 1?", model=f"{url}#m", run=None).answer == "2"
        open_embedder(f"{url}#m")
    assert seen
    assert set(seen) == {None}


def test_the_variable_of_a_run_is_for_its_own_model(capsys: pytest.CaptureFixture[str]) -> None:
    with recording() as (own, seen), recording() as (other, elsewhere):
        asked = ["solve", "1 + 1?", "-m", f"{own}#m", "--no-run", "--json", "--set", "model_options.api_key_env=OTHER_KEY"]
        assert run(capsys, *asked)[0] == 0
        assert set(seen) == {"Bearer other-secret"}

        async def both() -> None:
            agent = AgentConfig(models=(f"{other}#m",))
            await (await open_models(f"{own}#m", ModelConfig(api_key_env="OTHER_KEY"), agent)).close()

        run_sync(both())
    assert elsewhere
    assert set(elsewhere) == {None}


def test_keys_by_server(capsys: pytest.CaptureFixture[str]) -> None:
    with recording() as (url, seen):
        option = f"model_options.api_keys={{{url}: OTHER_KEY}}"
        assert run(capsys, "solve", "1 + 1?", "-m", f"{url}#m", "--no-run", "--set", option)[0] == 0
    assert set(seen) == {"Bearer other-secret"}
    with pytest.raises(ModelAuthError, match="set MISSING_KEY in the environment"):
        key_for("https://a.example/v1", {"https://a.example": "MISSING_KEY"})


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("https://api.openai.com/v1", True),
        ("https://API.OpenAI.com:443/v1/x", True),
        ("http://api.openai.com/v1", False),
        ("https://api.openai.com:8443/v1", False),
        ("https://api.openai.com.evil.example/v1", False),
        ("https://evil.example/://api.openai.com/v1", False),
        ("https://api.openai.com@evil.example/v1", False),
    ],
)
def test_openai_s_key_is_openai_s(url: str, known: bool) -> None:
    assert key_for(url) == ("sk-openai" if known else None)


def test_openai_s_key_follows_its_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    with recording() as (url, seen):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        assert tirage.solve("1 + 1?", model="openai/m", run=None).answer == "2"
        assert key_for("https://api.openai.com/v1") is None
    assert set(seen) == {"Bearer sk-openai"}


def test_credentials_in_urls_are_refused_and_never_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = problems(tmp_path, '{"problem": "1 + 1?", "answer": "2"}')
    for url in ("http://me:hunter2@127.0.0.1:9/v1", "http://127.0.0.1:9/v1?api_key=hunter2", "https://hunter2@h.example/v1"):
        for asked in (["solve", "1 + 1?", "-m", f"{url}#m"], ["rollout", file, "-m", f"{url}#m", "--run", str(tmp_path / "run")]):
            code, out, err = run(capsys, *asked)
            assert code == 2
            assert "hunter2" not in out + err
            assert "api_keys" in err
    assert not any("hunter2" in path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    with pytest.raises(ConfigError) as refused:
        open_embedder("http://me:hunter2@127.0.0.1:9/v1#m")
    assert "hunter2" not in str(refused.value)


def test_a_server_that_repeats_the_key_does_not_put_it_into_errors(capsys: pytest.CaptureFixture[str]) -> None:
    with recording(401) as (url, seen):
        option = f"model_options.api_keys={{{url}: OTHER_KEY}}"
        code, out, err = run(capsys, "solve", "1 + 1?", "-m", f"{url}#m", "--no-run", "--set", option)
    assert seen
    assert code == 4
    assert "other-secret" not in out + err
    assert "[key]" in err


def test_a_run_folder_holds_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = problems(tmp_path, '{"problem": "1 + 1?", "answer": "2"}')
    with recording() as (url, _):
        option = f"model_options.api_keys={{{url}: OTHER_KEY}}"
        assert run(capsys, "rollout", file, "-m", f"{url}#m", "--run", str(tmp_path / "run"), "--set", option)[0] == 0
    kept = [path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert kept
    assert not any(b"other-secret" in content for content in kept)


def test_servers_that_files_name_are_not_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("An otter is a mammal.")
    index, team = str(tmp_path / "notes.db"), tmp_path / "team.yaml"
    with recording() as (url, seen):
        assert run(capsys, "index", "add", index, str(tmp_path / "notes"), "--embedder", f"{url}#m")[0] == 0
        seen.clear()
        code, _, err = run(capsys, "index", "search", index, "otter")
        assert code == 2
        assert "to which nothing is sent because a file says so" in err
        assert "--embedder" in err
        team.write_text(f"name: two\nmembers: [{{name: a, role: solver, model: '{url}#m'}}]\ndecision: last\n")
        code, _, err = run(capsys, "topology", "run", str(team), "1 + 1?", "-m", "nano")
        assert code == 2
        assert "to which nothing is sent because a file says so" in err
        assert seen == []
        assert run(capsys, "index", "search", index, "otter", "--embedder", f"{url}#m")[0] == 0
    assert set(seen) == {None}


def test_origins() -> None:
    assert origin("https://h.example/v1") == origin("https://H.example:443") == "https://h.example:443"
    assert origin("http://[::1]:8000/v1") == "http://::1:8000"
    for wrong in ("ftp://h/v1", "h.example/v1", "http://", "http://h:port/v1"):
        with pytest.raises(ConfigError, match="is not a server address"):
            origin(wrong)
    assert credentials_in("https://h/v1?access_token=x")
    assert not credentials_in("https://h/v1?api-version=2024-10-21")
    assert not credentials_in("a sentence with an @ and a key=value?")
    assert without_credentials("http://me:pw@h:1/v1?key=x#m") == "http://h:1/v1#m"
