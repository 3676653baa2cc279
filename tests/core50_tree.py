"""A small CORe50: the official folders, names and shapes of lists, with a few frames of each object and session."""

import io
import pickle
import random
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from pictures import plain

from negreplay.data.core50 import IMAGES, OBJECTS, SESSIONS, TEST_SESSIONS
from negreplay.data.core50_lists import EXPERIENCES, FOLDERS
from negreplay.data.images import Images
from negreplay.streams.stream import Stream

TRAIN_SESSIONS = [session for session in SESSIONS if session not in TEST_SESSIONS]
VIDEOS = {"nic": 5, "nicv2_79": 5, "nicv2_196": 2, "nicv2_391": 1}
"""The videos (an object in a session) of each experience but the first, by list."""

Lists = dict[tuple[str, int], list[list[str]]]
"""By list and run: the lines of each experience, with those of the test set at the end."""


def frames_of(session: int, number: int, frames: int = 2) -> list[str]:
    """The lines of a video; `number` counts objects from 0."""
    name = f"s{session}/o{number + 1}/C_{session:02}_{number + 1:02}"
    return [f"{name}_{frame:03}.png {number}" for frame in range(frames)]


def make_images(root: Path, frames: int = 2) -> Path:
    content = io.BytesIO()
    plain().save(content, "png")
    for session in SESSIONS:
        for number in range(len(OBJECTS)):
            for line in frames_of(session, number, frames):
                path = root / IMAGES / line.split(" ")[0]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.getvalue())
    return root


def make_lists(lists: str, run: int) -> list[list[str]]:
    """What an official run looks like: the order of the experiences and, within all but the first, of the lines."""
    rng = random.Random(run)
    if lists == "ni":
        sessions = rng.sample(TRAIN_SESSIONS, len(TRAIN_SESSIONS))
        experiences = [[line for number in range(50) for line in frames_of(s, number)] for s in sessions]
    else:
        videos = [(s, number) for s in TRAIN_SESSIONS for number in range(50) if s > 1 or number % 5]
        rng.shuffle(videos)
        first = [line for number in range(0, 50, 5) for line in frames_of(1, number)]
        taken = [videos[i : i + VIDEOS[lists]] for i in range(0, len(videos), VIDEOS[lists])]
        experiences = [first, *([line for video in part for line in frames_of(*video)] for part in taken)]
        for lines in experiences[1:]:
            rng.shuffle(lines)
    assert len(experiences) == EXPERIENCES[lists]
    test = [
        line for s in TEST_SESSIONS for n in sorted(range(50), key=lambda n: str(n + 1)) for line in frames_of(s, n)
    ]
    return [*experiences, test]


def files_of(lists: str, run: int, folder: str | None = None) -> dict[str, str]:
    """The list files of a run by their paths, with the line ends of another system for good measure."""
    *experiences, test = make_lists(lists, run)
    names = [f"train_batch_{k:02}_filelist.txt" for k in range(len(experiences))] + ["test_filelist.txt"]
    texts = ["\r\n".join(lines) + "\r\n" for lines in (*experiences, test)]
    return {f"{folder or FOLDERS[lists][0]}/run{run}/{name}": text for name, text in zip(names, texts, strict=True)}


def unpacked(root: Path, files: dict[str, str], inside: str = "") -> None:
    for name, text in files.items():
        path = root / inside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


def zipped(root: Path, files: dict[str, str], name: str = "batches_filelists.zip", inside: str = "") -> None:
    with zipfile.ZipFile(root / name, "w") as archive:
        for member, text in sorted(files.items(), reverse=True):
            archive.writestr(inside + member, text)


def tarred(root: Path, files: dict[str, str], kind: str) -> None:
    with tarfile.open(root / f"lists.tar.{kind}", f"w:{kind}") as archive:  # type: ignore[call-overload]
        for member, text in sorted(files.items(), reverse=True):
            info = tarfile.TarInfo(member)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))


def pickled(root: Path, lists: str, run: int, protocol: int = 2) -> None:
    """paths.pkl, LUP.pkl and labels.pkl: images by number, in each list the test set last."""
    experiences = [[line.split(" ") for line in lines] for lines in make_lists(lists, run)]
    paths = sorted({path for lines in experiences for path, _ in lines})
    number = {path: i for i, path in enumerate(paths)}
    content = {
        "paths.pkl": paths,
        "LUP.pkl": {lists: {run: [[number[path] for path, _ in lines] for lines in experiences]}},
        "labels.pkl": {lists: {run: [[int(label) for _, label in lines] for lines in experiences]}},
    }
    for name, value in content.items():
        (root / name).write_bytes(pickle.dumps(value, protocol))


def written(stream: Stream) -> Iterator[list[str]]:
    """The stream as the lines of the lists it came from."""
    assert isinstance(stream.train, Images)
    paths, labels = stream.train.paths, stream.train.labels.tolist()
    for experience in stream:
        yield [f"{paths[row].removeprefix(f'{IMAGES}/')} {labels[row]}" for row in experience.data.rows.tolist()]
