"""The command that opens a page on which a model is taught and asked: teach."""

from dataclasses import dataclass

from rich.console import Console

from negreplay.cli.models import Path_, say
from negreplay.errors import UserError


@dataclass(frozen=True)
class TeachCommand:
    """Open a page in which a model is taught with pictures or the camera, and asked; it runs until Ctrl-C.

    The page is on this machine and for this machine only, and nothing leaves it. For another --host, others need the
    address with the token that is printed.
    """

    model: Path_
    """The model; the first lesson makes it if it is not there, and the version before stays beside it."""
    host: str = "127.0.0.1"
    """Where the page can be reached: 0.0.0.0 is every network of this machine."""
    port: int = 8750
    """The number of the port; 0 takes a free one."""

    def __call__(self, console: Console) -> None:
        try:
            import fastapi
            import python_multipart
            import uvicorn
        except ModuleNotFoundError as error:
            raise UserError(f"the page needs {error.name}: pip install 'negreplay[page]'.") from None
        del fastapi, python_multipart, uvicorn
        from negreplay.page.server import serve
        from negreplay.photographs.files import check_path, read_model
        from negreplay.slow_paths import avoid_slow_paths

        avoid_slow_paths()
        if not 0 <= self.port < 65536:
            raise UserError(f"--port is {self.port}: give a number from 0 to 65535.")
        if self.model.exists():
            read_model(self.model)
        else:
            check_path(self.model)
        serve(self.model, self.host, self.port, lambda address: say(console, f"{address} (Ctrl-C ends it)"))
