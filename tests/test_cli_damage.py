"""Runs that are damaged, and disks that are full: nothing is lost, and nothing half-written stays."""

import re
import shutil
from pathlib import Path

import pytest
from tiny import Negreplay, digits, numbers, photographs, refused, run, small_disk, tree
from tiny import unfinished as unfinished_in

from negreplay.errors import UserError
from negreplay.results.table import read_rows
from negreplay.run import rows_of


def test_a_damaged_run_is_refused(negreplay: Negreplay):
    run(negreplay, digits("no-replay"))
    before = Path("out/run.json").read_text()
    for content in (
        "",
        before[:-9],
        "[]",
        "{}",
        before.replace('"data": ', '"date": '),
        before.replace('"jobs": ', '"jobs": "x'),
    ):
        Path("out/run.json").write_text(content)
        assert negreplay("resume", "out").sentence().startswith("out/run.json cannot be read (")
    Path("out/run.json").unlink()
    assert "out/run.json cannot be read (it is missing): restore it" in negreplay("report", "out").sentence()


@pytest.mark.parametrize("name", ["resume", "report"])
def test_a_damaged_checkpoint_is_refused(negreplay: Negreplay, name: str):
    run(negreplay, digits("no-replay"))
    checkpoint, table = Path("out/checkpoints/no-replay-0.safetensors"), Path("out/results.csv").read_text()
    for content in (b"", checkpoint.read_bytes()[:-1], b"something else"):
        checkpoint.write_bytes(content)
        sentence = negreplay(name, "out").sentence()
        assert str(checkpoint) in sentence and "move it away to start this arm anew." in sentence
    assert Path("out/results.csv").read_text() == table


def test_a_damaged_store_is_noticed_and_mended(negreplay: Negreplay):
    tree(Path())
    study = photographs("no-replay")
    run(negreplay, study, "--store", "store", out="whole")
    for block in Path("store").glob("*.block-*.npy"):
        content = bytearray(block.read_bytes())
        content[-9] ^= 1
        block.write_bytes(content)
    sentence = run(negreplay, study, "--store", "store").sentence()
    assert sentence.endswith("is not as it was written: resume the run, which encodes what is damaged again.")
    again = negreplay("resume", "out").sentence()  # the test images' turn
    assert again.endswith("is not as it was written: resume the run, which encodes what is damaged again.")
    assert negreplay("resume", "out").code == 0
    assert numbers(Path("out")) == numbers(Path("whole"))


def test_a_damaged_study_is_refused(negreplay: Negreplay):
    run(negreplay, digits("no-replay"))
    Path("out/study.json").write_text("{}")
    assert "out/study.json: name: Field required: add it." in negreplay("resume", "out").sentence()


def test_a_folder_that_cannot_be_written_leaves_no_run(negreplay: Negreplay, monkeypatch: pytest.MonkeyPatch):
    """The second of the two files that begin a run fails, as on a disk that fills just then."""
    from negreplay import run as runs

    def write(path: Path, content: bytes) -> None:
        if path.name == "study.json":
            raise UserError("no space.")
        path.write_bytes(content)

    monkeypatch.setattr(runs, "write_whole", write)
    assert refused(negreplay, digits("no-replay")) == "no space."


# A full disk


def fill(disk: Path, left: int) -> Path:
    """Fills a disk but for so many bytes."""
    ballast = disk / "ballast"
    ballast.write_bytes(b"0" * (shutil.disk_usage(disk).free - left))
    return ballast


def test_a_disk_that_is_full_at_a_checkpoint(negreplay: Negreplay):
    study = digits("no-replay", "nr-od")
    run(negreplay, study, out="whole")
    with small_disk("2m") as disk:
        one = Path("whole/checkpoints/no-replay-0.safetensors").stat().st_size
        ballast = fill(disk, left=one * 3 // 2 + 40_000)
        failed = run(negreplay, study, out=str(disk / "out"))
        assert "cannot be written (No space left on device): free some space" in failed.sentence()
        rows = read_rows(disk / "out" / "results.csv")
        saved = rows_of(disk / "out", study)
        assert len(saved) == 3 and rows[:3] == saved and not unfinished_in(disk), "the arm that had ended before"
        sentence = negreplay("report", disk / "out").sentence()
        assert re.search(r"out/(report\.html|curves-\w+\.png) cannot be written \(No space left on device\)", sentence)
        ballast.unlink()
        assert negreplay("resume", disk / "out").code == 0
        assert numbers(disk / "out") == numbers(Path("whole"))


def test_a_disk_that_is_full_at_the_report(negreplay: Negreplay):
    with small_disk("3m") as disk:
        run(negreplay, digits("no-replay"), out=str(disk / "out"))
        before = {path: path.read_bytes() for path in (disk / "out").rglob("*") if path.is_file()}
        fill(disk, left=4096)
        sentence = negreplay("report", disk / "out").sentence()
        assert "cannot be written (No space left on device)" in sentence
        assert before == {path: path.read_bytes() for path in (disk / "out").rglob("*") if path.is_file()}


def test_a_disk_that_is_full_at_the_start(negreplay: Negreplay):
    with small_disk("64k") as disk:
        fill(disk, left=0)
        sentence = run(negreplay, digits("no-replay"), out=str(disk / "out")).sentence()
        assert "cannot be written (No space left on device)" in sentence
        assert [path.name for path in disk.iterdir()] == ["ballast"]


def test_a_disk_that_is_full_at_the_store(negreplay: Negreplay, tmp_path: Path):
    tree(tmp_path)
    with small_disk("32k") as disk:
        failed = run(negreplay, photographs("no-replay"), "--store", disk / "latents")
        assert f"{disk / 'latents'} cannot hold the latents, which need 1 MB (No space left on device)" in failed.err
        assert failed.sentence() and not list(disk.rglob("*.*"))
        assert not Path("out/results.csv").exists()
