"""A small Hugging Face Hub on this machine: repositories, commits of regular and of large files, and downloads."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote

import yaml
from website import served

TOKEN = "hf_token"


class Hub:
    """Commits of each repository, the newest last; `cut` bytes are missing at the end of the next large download."""

    def __init__(self) -> None:
        self.repos: dict[str, list[dict[str, bytes]]] = {}
        self.private: set[str] = set()
        self.large: dict[str, bytes] = {}
        self.cut = 0
        self.address = ""

    def files(self, repo: str, revision: str) -> dict[str, bytes] | None:
        """The files of a revision: `main`, or a commit, whose name is its number."""
        commits = self.repos[repo]
        if revision == "main":
            return commits[-1]
        number = int(revision, 16) if len(revision) == 40 else len(commits)
        return commits[number] if number < len(commits) else None

    def newest(self, repo: str) -> dict[str, bytes]:
        return self.repos[repo][-1]


def commit_name(number: int) -> str:
    return f"{number:040x}"


@contextmanager
def serve_hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, content: Any = b"", **headers: str) -> None:
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                missing = hub.cut if self.path.endswith(".safetensors") and status == 200 else 0
                self.wfile.write(data[: len(data) - missing])

        def refuse(self, status: int, code: str) -> None:
            self.answer(status, {"error": code}, X_Error_Code=code)

        def may(self) -> bool:
            return self.headers.get("Authorization") == f"Bearer {TOKEN}"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            parts = unquote(self.path).strip("/").split("/")
            info = parts[:2] == ["api", "models"]
            repo = "/".join(parts[2:4] if info else parts[:2])
            revision = parts[5] if info and len(parts) > 5 else "main" if info else parts[3]
            if repo not in hub.repos or (repo in hub.private and not self.may()):
                return self.refuse(401, "RepoNotFound")
            files = hub.files(repo, revision)
            if files is None:
                return self.refuse(404, "RevisionNotFound")
            number = hub.repos[repo].index(files)
            if info:
                return self.answer(200, {"id": repo, "sha": commit_name(number), "private": repo in hub.private})
            if parts[4] not in files:
                return self.refuse(404, "EntryNotFound")
            content = files[parts[4]]
            etag = f'"{sha256(content).hexdigest()}"'
            return self.answer(200, content, ETag=etag, X_Repo_Commit=commit_name(number))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not self.may():
                return self.refuse(403, "Forbidden")
            if self.path == "/api/repos/create":
                return self.create(json.loads(body))
            if self.path == "/api/validate-yaml":
                _, header, _ = json.loads(body)["content"].split("---\n", 2)
                return self.answer(200 if isinstance(yaml.safe_load(header), dict) else 400, {})
            parts = self.path.strip("/").split("/")
            if "preupload" in parts:
                names = [of["path"] for of in json.loads(body)["files"]]
                modes = {name: "lfs" if name.endswith(".safetensors") else "regular" for name in names}
                answers = [{"path": name, "uploadMode": mode, "shouldIgnore": False} for name, mode in modes.items()]
                return self.answer(200, {"files": answers})
            if self.path.endswith("/info/lfs/objects/batch"):
                objects = [
                    {**of, "actions": {"upload": {"href": f"{hub.address}/large/{of['oid']}"}}}
                    for of in json.loads(body)["objects"]
                ]
                return self.answer(200, {"transfer": "basic", "objects": objects})
            return self.commit("/".join(parts[2:4]), [json.loads(line) for line in body.splitlines()])

        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            assert sha256(content).hexdigest() == self.path.split("/")[-1]
            hub.large[sha256(content).hexdigest()] = content
            self.answer(200)

        def create(self, asked: dict[str, Any]) -> None:
            repo = f"{asked['organization']}/{asked['name']}"
            if repo in hub.repos:
                return self.answer(409, {"url": f"{hub.address}/{repo}"})
            hub.repos[repo] = [{}]
            if asked.get("private") or asked.get("visibility") == "private":
                hub.private.add(repo)
            return self.answer(200, {"url": f"{hub.address}/{repo}"})

        def commit(self, repo: str, operations: list[dict[str, Any]]) -> None:
            files = dict(hub.newest(repo))
            for operation in operations[1:]:
                value = operation["value"]
                large = operation["key"] == "lfsFile"
                files[value["path"]] = hub.large[value["oid"]] if large else base64.b64decode(value["content"])
            hub.repos[repo].append(files)
            name = commit_name(len(hub.repos[repo]) - 1)
            self.answer(200, {"commitUrl": f"{hub.address}/{repo}/commit/{name}", "commitOid": name})

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002

    with served(Handler) as address:
        hub.address = address
        yield hub
