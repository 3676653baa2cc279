"""The server: what a browser can ask for, and what it may send."""

import json
import socket
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response

from negreplay.errors import UserError
from negreplay.page import uploads
from negreplay.page.classroom import BUSY, Classroom
from negreplay.page.guard import Guard
from negreplay.photographs.changes import forget, rename

_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Answer(JSONResponse):
    """JSON in ASCII: the name of a class from an odd folder may hold half characters, which nothing else can carry."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode()


def serve(path: Path, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serves the page of a model until the process is asked to end.

    Args:
        path: the model, which is made by the first lesson if it is not there.
        host: on which the page can be reached; only this machine reaches 127.0.0.1.
        port: a number, or 0 for a free one.
        say: gets the address.

    Raises:
        UserError: nothing can listen there.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.create_server(address[:2], family=family)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"no page can be at {host}, port {port} ({reason}): give another --port or --host.") from None
    guard, classroom = Guard.of(host), Classroom(path)
    name = _own_address() if host in ("0.0.0.0", "::") else host
    name = f"[{name}]" if ":" in name else name
    end = f"?token={guard.token}" if guard.token else ""
    say(f"http://{name}:{listening.getsockname()[1]}/{end}")
    config = uvicorn.Config(application(classroom, guard), log_level="warning", timeout_graceful_shutdown=10)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        classroom.stop()


def _own_address() -> str:
    """This machine's address in its network; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for examples, which nobody has
            return probe.getsockname()[0]
        except OSError:
            return socket.gethostname()


def application(classroom: Classroom, guard: Guard) -> FastAPI:
    """The page and what it asks for."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.middleware("http")(guard)
    app.add_exception_handler(UserError, _problem)
    app.add_exception_handler(HTTPException, _problem)
    _add_page(app)
    _add_reading(app, classroom)
    _add_writing(app, classroom)
    return app


def _problem(request: Request, error: Exception) -> Response:
    """A mistake as its sentence."""
    if isinstance(error, HTTPException):
        return Answer({"problem": str(error.detail)}, error.status_code)
    return Answer({"problem": str(error)}, 400)


def _add_page(app: FastAPI) -> None:
    parts = {of.name: of for of in files("negreplay.page").iterdir() if Path(of.name).suffix in _KINDS}

    @app.get("/{name}")
    def part(name: str) -> Response:
        if name not in parts:
            raise HTTPException(404, "there is no such page.")
        return Response(parts[name].read_bytes(), media_type=_KINDS[Path(name).suffix])

    @app.get("/")
    def page() -> Response:
        return part("page.html")


def _add_reading(app: FastAPI, classroom: Classroom) -> None:
    @app.get("/api/state")
    def state() -> Response:
        return Answer(classroom.state() | {"limits": uploads.LIMITS})

    @app.get("/api/model")
    def model() -> Response:
        if not classroom.path.is_file():
            raise HTTPException(404, "there is no model yet: teach it a class first.")
        return FileResponse(classroom.path, filename=classroom.path.name, media_type="application/octet-stream")


def _add_writing(app: FastAPI, classroom: Classroom) -> None:
    @app.post("/api/learn")
    async def learn(request: Request) -> Response:
        if classroom.is_learning:
            raise UserError(BUSY)
        async with uploads.form_of(request, uploads.LARGEST_LESSON, uploads.MOST_PICTURES) as form:
            pictures = uploads.files_of(form, "picture")
            names = uploads.names_of(form, len(pictures))
            named = [(of.filename or "", of.file) for of in pictures]
            await run_in_threadpool(classroom.learn, named, names)
        return Answer(classroom.state())

    @app.post("/api/predict")
    async def predict(request: Request) -> Response:
        async with uploads.form_of(request, uploads.LARGEST_PICTURE) as form:
            picture = uploads.files_of(form, "picture")[0]
            said = await run_in_threadpool(classroom.predict, (picture.filename or "", picture.file))
        return Answer(said)

    @app.post("/api/load")
    async def load(request: Request) -> Response:
        async with uploads.form_of(request, uploads.LARGEST_MODEL) as form:
            sentence = await run_in_threadpool(classroom.load, uploads.files_of(form, "model")[0].file)
        return Answer({"sentence": sentence})

    @app.post("/api/stop")
    def stop() -> Response:
        classroom.stop()
        return Answer(classroom.state())

    @app.post("/api/undo")
    def undo() -> Response:
        return Answer({"sentence": classroom.undo()})

    @app.post("/api/forget")
    async def forget_class(request: Request) -> Response:
        name = (await uploads.values_of(request)).get("name", "")
        sentence = await run_in_threadpool(classroom.edit, lambda model: forget(model, name))
        return Answer({"sentence": sentence})

    @app.post("/api/rename")
    async def rename_class(request: Request) -> Response:
        names = await uploads.values_of(request)
        old, new = names.get("old", ""), names.get("new", "")
        sentence = await run_in_threadpool(classroom.edit, lambda model: rename(model, old, new))
        return Answer({"sentence": sentence})
