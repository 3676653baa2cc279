"""The command `teach`: a server of its own, its address, and its end."""

import http.client
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tiny import Negreplay, command, environment


@contextmanager
def teaching(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server and the address that it prints."""
    line = command("teach", "--model", "shop.safetensors", "--port", "0", *arguments)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # Where the tests run in the background Ctrl-C is ignored, and what they start would inherit that.
    with subprocess.Popen(
        line, cwd=folder, env=environment(), preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL), **pipes
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split(" ")[0]
        finally:
            process.kill()


def status(address: str, path: str) -> int:
    place = urlsplit(address)
    with closing(http.client.HTTPConnection("127.0.0.1", place.port or 0, timeout=20)) as connection:
        connection.request("GET", path, headers={"Host": f"127.0.0.1:{place.port}"})
        return connection.getresponse().status


def test_the_page_is_for_this_machine_and_ends_with_ctrl_c(tmp_path: Path):
    with teaching(tmp_path) as (process, address):
        assert address.startswith("http://127.0.0.1:") and "token" not in address
        assert status(address, "/") == status(address, "/api/state") == 200
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and errors == "stopped.\n"
    assert not (tmp_path / "shop.safetensors").exists()


def test_others_get_an_address_with_a_token(tmp_path: Path):
    with teaching(tmp_path, "--host", "0.0.0.0") as (_, address):
        assert "0.0.0.0" not in address and status(address, "/") == 401
        assert status(address, f"/?{urlsplit(address).query}") == 303


def test_mistakes_of_the_command(negreplay: Negreplay, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port}" in negreplay("teach", "--model", "a.safetensors", "--port", port).sentence()
    assert "--port is 70000" in negreplay("teach", "--model", "a.safetensors", "--port", 70000).sentence()
    assert "--host" in negreplay("teach", "--model", "a.safetensors", "--host", "no.such.host.invalid").sentence()
    assert ".safetensors" in negreplay("teach", "--model", "a.txt").sentence()
    (tmp_path / "b.safetensors").write_bytes(b"x")
    assert "is no model" in negreplay("teach", "--model", "b.safetensors").sentence()


def test_a_package_that_is_missing_is_named(negreplay: Negreplay, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "negreplay[page]" in negreplay("teach", "--model", "a.safetensors").sentence()
