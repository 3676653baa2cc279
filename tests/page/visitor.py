"""A visitor of the page, with pictures of colours and a tiny network."""

import json
import time
from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import Image
from starlette.testclient import TestClient

from negreplay.nets.library import net_as_trained
from negreplay.page.classroom import Classroom
from negreplay.page.guard import Guard
from negreplay.page.server import application
from negreplay.photographs.model import Model
from negreplay.photographs.networks import Network
from negreplay.recipe import NearestMeanRecipe

HERE = "http://127.0.0.1:8750"
COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200), "grey": (120, 120, 120)}
Files = list[tuple[str, tuple[str, bytes]]]


def picture(colour: str, seed: int = 0) -> bytes:
    noise = np.random.RandomState(seed).randint(-30, 30, (16, 16, 3))
    pixels = (np.array(COLOURS[colour]) + noise).clip(0, 255).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def new_model() -> Model:
    torch.manual_seed(0)
    network = Network("timm/test_efficientnet", net_as_trained("test_efficientnet"), "with random weights")
    return Model.new(network, NearestMeanRecipe(), size=32)


class Visitor:
    """A browser in front of the page."""

    def __init__(self, classroom: Classroom, guard: Guard | None = None, address: str = HERE) -> None:
        self.classroom = classroom
        app = application(classroom, guard or Guard("127.0.0.1"))
        self.client = TestClient(app, base_url=address, headers={"Origin": address}, follow_redirects=False)

    def state(self) -> dict[str, Any]:
        return self.client.get("/api/state").json()

    def send(self, pictures: Files, names: list[str]) -> Any:
        return self.client.post("/api/learn", files=pictures, data={"classes": json.dumps(names)})

    def teach(self, names: dict[str, str], count: int = 16) -> dict[str, Any]:
        """Teaches classes by the colours of their pictures, and waits; gives how the lesson has ended."""
        files: Files = [("picture", (f"{i}.png", picture(of, i))) for of in names.values() for i in range(count)]
        response = self.send(files, [name for name in names for _ in range(count)])
        assert response.status_code == 200, response.json()
        return self.end()

    def end(self) -> dict[str, Any]:
        for _ in range(600):
            lesson = self.state()["lesson"]
            if lesson["state"] != "learning":
                return lesson
            time.sleep(0.05)
        raise AssertionError("the lesson does not end")

    def ask(self, content: bytes, title: str = "new.png") -> Any:
        return self.client.post("/api/predict", files={"picture": (title, content)})

    def name(self, colour: str) -> str:
        """The likeliest class of a picture."""
        return self.ask(picture(colour, 1000)).json()["best"][0]["name"]

    def content(self) -> bytes:
        """The model's file."""
        return self.classroom.path.read_bytes()

    def classes(self) -> list[str]:
        return [of["name"] for of in self.state()["model"]["classes"]]

    def problem(self, path: str, **body: Any) -> str:
        response = self.client.post(path, json=body)
        assert response.status_code == 400
        return response.json()["problem"]
