"""The page as a browser talks to it: what it teaches and says, and what a mistake leaves."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from visitor import COLOURS, Files, Visitor, new_model, picture

from negreplay.page import uploads
from negreplay.page.classroom import Classroom
from negreplay.photographs.files import change, read_model, write_model, writing
from negreplay.photographs.model import Model


def test_a_model_is_taught_class_by_class_and_asked(visitor: Visitor):
    assert visitor.state()["model"] is None and visitor.state()["lesson"] is None
    first = visitor.teach({"red": "red", "green": "green", "blue": "blue"})
    assert first["state"] == "learned" and first["pictures"] == 48
    assert [visitor.name(of) for of in ("red", "green", "blue")] == ["red", "green", "blue"]
    assert visitor.teach({"grey": "grey"})["state"] == "learned"
    assert [visitor.name(of) for of in COLOURS] == list(COLOURS)
    known = visitor.state()["model"]
    assert {of["name"]: of["pictures"] for of in known["classes"]} == dict.fromkeys(
        ("blue", "green", "red", "grey"), 16
    )
    tested = sum(of["tested"][1] for of in known["classes"] if of["tested"])
    assert tested == known["held_back"] == sum(count for _, _, count in known["confusions"]) > 0
    assert [lesson["pictures"] for lesson in known["lessons"]] == [48, 16]


def test_the_likeliest_classes_come_first_with_their_probabilities(taught: Visitor):
    said = taught.ask(picture("red", 1000)).json()
    values = [of["probability"] for of in said["best"]]
    assert values == sorted(values, reverse=True) and sum(values) == pytest.approx(1)
    assert said["name"] == "red" and not said["unknown"]


def test_pictures_that_were_learned_before_are_counted_once(taught: Visitor):
    assert "16 known before" in taught.teach({"red": "red"})["sentence"]
    assert taught.state()["model"]["classes"][1]["pictures"] == 16


def test_a_class_gets_another_name_and_is_forgotten_and_brought_back(taught: Visitor):
    assert taught.client.post("/api/rename", json={"old": "red", "new": " wine "}).json()["sentence"]
    assert taught.classes() == ["green", "wine"]
    assert taught.client.post("/api/forget", json={"name": "green"}).status_code == 200
    assert taught.classes() == ["wine"]
    assert "teach it another class" in taught.problem("/api/forget", name="wine")
    assert taught.client.post("/api/undo").status_code == 200
    assert taught.classes() == ["green", "wine"] and taught.state()["lesson"] is None


def test_mistakes_are_said_and_leave_the_model_as_it_was(taught: Visitor):
    before = taught.content()
    assert "did you mean 'red'" in taught.problem("/api/rename", old="rde", new="x")
    assert "already" in taught.problem("/api/rename", old="red", new="green")
    assert "cannot be the name" in taught.problem("/api/rename", old="red", new="a\nb")
    assert "cannot be the name" in taught.problem("/api/rename", old="red", new="  ")
    assert "cannot be read" in taught.problem("/api/rename", old=["red"], new="x")
    assert taught.client.post("/api/forget", content=b"{").status_code == 400
    assert taught.client.post("/api/forget", content=b"[" * 100_000).status_code == 400
    assert "too much" in taught.problem("/api/forget", name="x" * 2 * uploads.MEGABYTE)
    failed = taught.teach({"Red": "blue"})
    assert failed["state"] == "failed" and "capital letters" in failed["sentence"]
    failed = taught.teach({"crimson": "red"})
    assert failed["state"] == "failed" and "has been learned as 'red'" in failed["sentence"]
    assert taught.content() == before


def test_what_is_no_picture_is_refused_by_its_name(taught: Visitor):
    before = taught.content()
    good = ("picture", ("a.png", picture("blue")))
    response = taught.send([good, ("picture", ("../../etc/notes.txt", b"hello"))], ["blue", "blue"])
    assert response.status_code == 400
    assert response.json()["problem"].startswith("blue/notes.txt (")
    assert taught.send([("picture", ("cut.png", picture("blue")[:-150]))], ["blue"]).status_code == 200
    lesson = taught.end()
    assert lesson["state"] == "failed" and "blue/cut.png is no readable image" in lesson["sentence"]
    assert taught.ask(b"hello").json()["problem"].startswith("new.png (")
    assert taught.ask(b"hello").json()["problem"].endswith("leave it out, or convert it to JPEG.")
    assert taught.content() == before


def test_a_model_that_is_not_there_is_made_with_the_default_network(tmp_path: Path):
    visitor = Visitor(Classroom(tmp_path / "new.safetensors"))
    assert visitor.teach({"red": "red", "blue": "blue"}, count=2)["state"] == "learned"
    assert visitor.name("red") == "red" and visitor.name("blue") == "blue"
    assert visitor.state()["model"]["network"].startswith("timm/tf_efficientnet_lite0")
    assert not visitor.state()["can_undo"] and "no version before" in visitor.problem("/api/undo")


def test_pictures_of_the_same_name_are_different_pictures(visitor: Visitor):
    files: Files = [("picture", ("camera.jpg", picture("red", i))) for i in range(3)]
    visitor.send(files, ["red"] * 3)
    assert visitor.end()["state"] == "learned"
    assert visitor.state()["model"]["classes"][0]["pictures"] == 3


def test_too_much_is_refused(taught: Visitor, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(uploads, "MOST_PICTURES", 3)
    files: Files = [("picture", (f"{i}.png", picture("blue", i))) for i in range(4)]
    assert "at most 3" in taught.send(files, ["blue"] * 4).json()["problem"]
    monkeypatch.setattr(uploads, "LARGEST_PICTURE", 100)
    assert "0.png is larger than" in taught.send(files[:1], ["blue"]).json()["problem"]
    monkeypatch.setattr(uploads, "LARGEST_LESSON", -uploads.MEGABYTE)
    assert "too much at once" in taught.send(files[:1], ["blue"]).json()["problem"]
    assert "size" in taught.client.post("/api/learn", content=iter([b"x"])).json()["problem"]
    assert taught.classes() == ["green", "red"]


def test_a_form_without_classes_or_pictures_is_refused(taught: Visitor):
    files: Files = [("picture", ("a.png", picture("blue")))]
    for names in ("", "[]", '["blue", "blue"]', "[1]", "null"):
        response = taught.client.post("/api/learn", files=files, data={"classes": names})
        assert "names of their classes" in response.json()["problem"]
    assert "no file" in taught.client.post("/api/learn", files={"other": b"x"}).json()["problem"]
    assert taught.client.post("/api/learn", content=b"x").status_code == 400


def test_a_name_with_markup_is_text(taught: Visitor):
    name = "<script>alert(1)</script>"
    assert taught.teach({name: "blue"})["state"] == "learned"
    assert name in taught.classes() and taught.name("blue") == name
    page = taught.client.get("/")
    assert name not in page.text
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    for part in ("page.js", "tools.js", "inputs.js", "knows.js"):
        script = taught.client.get(f"/{part}")
        assert script.headers["Content-Type"].startswith("text/javascript")
        assert not [word for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(") if word in script.text]
    assert "<script>" not in page.text and " style=" not in page.text and " on" + "click=" not in page.text


def test_a_second_lesson_waits_and_a_reload_sees_the_first(taught: Visitor, slow: Callable[[], None]):
    before = taught.content()
    files: Files = [("picture", ("a.png", picture("blue")))]
    assert taught.send(files, ["blue"]).json()["lesson"]["state"] == "learning"
    other = Visitor(taught.classroom)
    assert other.state()["lesson"] | {"task": ""} == taught.state()["lesson"] | {"task": ""}
    refused = other.send([("picture", ("b.png", picture("grey")))], ["grey"])
    assert refused.status_code == 400 and "wait" in refused.json()["problem"]
    assert "wait" in other.problem("/api/undo") and "wait" in other.problem("/api/forget", name="red")
    assert taught.content() == before
    slow()
    assert taught.end()["state"] == "learned"
    assert taught.classes() == ["green", "red", "blue"]


def test_the_command_line_and_the_page_do_not_write_at_once(taught: Visitor):
    before = taught.content()
    with writing(taught.classroom.path):
        refused = taught.send([("picture", ("b.png", picture("grey")))], ["grey"])
        assert "another process is writing" in refused.json()["problem"]
        assert "another process is writing" in taught.problem("/api/undo")
    assert taught.content() == before
    assert taught.teach({"grey": "grey"})["state"] == "learned"


def test_what_the_command_line_has_changed_is_seen(taught: Visitor):
    model = read_model(taught.classroom.path)
    model.names[0] = "grass"
    write_model(model, taught.classroom.path)
    assert taught.classes() == ["grass", "red"] and taught.name("green") == "grass"


def test_a_lesson_is_stopped_and_leaves_no_trace(
    taught: Visitor, slow: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = taught.content()
    taught.send([("picture", ("a.png", picture("blue")))], ["blue"])
    folder = list(tmp_path.glob("negreplay-*"))
    assert len(folder) == 1
    threading.Timer(0.2, slow).start()
    assert taught.client.post("/api/stop").json()["lesson"]["state"] == "stopped"
    assert taught.content() == before and not folder[0].exists()


def test_a_model_is_taken_home_and_brought_again(taught: Visitor, tmp_path: Path):
    answer = taught.client.get("/api/model")
    assert 'filename="shop.safetensors"' in answer.headers["Content-Disposition"] and answer.content == taught.content()
    other = Visitor(Classroom(tmp_path / "other.safetensors", new_model))
    assert other.client.get("/api/model").status_code == 404
    assert "nothing" in other.ask(picture("red")).json()["problem"]
    refused = other.client.post("/api/load", files={"model": ("x.safetensors", b"no model")})
    assert refused.json()["problem"].startswith("the file is no model") and other.state()["model"] is None
    assert other.client.post("/api/load", files={"model": ("x.safetensors", answer.content)}).status_code == 200
    assert other.classes() == ["green", "red"] and other.name("red") == "red"


def test_a_damaged_model_is_said(taught: Visitor):
    taught.classroom.path.write_bytes(taught.content()[:1000])
    assert "is no model, or only a part of one" in taught.state()["problem"]
    assert taught.client.post("/api/undo").status_code == 400


def test_a_class_from_a_folder_whose_name_is_no_text_is_shown_and_renamed(taught: Visitor):
    def odd(model: Model) -> str:
        model.names[0] = "caf\udce9"
        return ""

    change(taught.classroom.path, odd)
    assert taught.classes()[0] == "caf\udce9"
    assert taught.client.post("/api/rename", content=b'{"old": "caf\\udce9", "new": "coffee"}').status_code == 200
    assert taught.classes()[0] == "coffee"
