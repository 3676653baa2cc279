"""The official lists of CORe50: which images come in which experience.

They are read from the folder of the data, in whatever form they lie there: unpacked, as archives, or as pickles.
"""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from negreplay.data.containers import check_size, files_of_tar, read_file
from negreplay.data.decoding import reason_of
from negreplay.data.pickles import load_plain
from negreplay.errors import UserError

RUNS = range(10)
"""The official runs; each has the experiences in an order of its own."""

EXPERIENCES = {"ni": 8, "nic": 79, "nicv2_79": 79, "nicv2_196": 196, "nicv2_391": 391}
"""The lists that are read, with their numbers of experiences (NC follows a rule and needs none)."""

FOLDERS = {
    "ni": ("NI_inc",),
    "nic": ("NIC_inc",),
    "nicv2_79": ("NIC_v2_79", "sIII_v2_79"),
    "nicv2_196": ("NIC_v2_196", "sIII_v2_196"),
    "nicv2_391": ("NIC_v2_391", "sIII_v2_391"),
}
"""The folder of each list: in the official archives, and in the ones of Pellegrini et al.'s latent replay."""

PICKLES = ("paths.pkl", "LUP.pkl", "labels.pkl")

_ARCHIVES = (".zip", ".tar.xz", ".tar.gz", ".tgz")
_LARGEST_LIST = 50_000_000
_LINE = re.compile(r"(s\d+/o(\d+)/C_\d\d_\d\d_\d{3}\.png) (\d+)")
_TRAIN = re.compile(r"train_batch_(\d+)_filelist\.txt")


def read_lists(root: Path, lists: str, run: int) -> tuple[tuple[str, ...], ...]:
    """The training images of each experience, as `s1/o1/C_01_01_000.png`, in the official order.

    Args:
        root: the folder of the data.
        lists: a key of `EXPERIENCES`.
        run: one of `RUNS`.

    Raises:
        UserError: the lists are not there, or not whole, or an image's label is not the number of its object less one.
    """
    place, texts = _list_files(root, lists, run)
    numbered = {int(match[1]): name for name in texts if (match := _TRAIN.fullmatch(name))}
    for number in range(EXPERIENCES[lists]):
        if number not in numbered:
            raise UserError(f"{place} lacks the list of experience {number} of {lists}, run {run}: get it again.")
    return tuple(_images(place, numbered[k], texts[numbered[k]]) for k in range(EXPERIENCES[lists]))


def list_files(root: Path, lists: str, run: int) -> tuple[Path, dict[str, str]] | None:
    """The folder or archive that holds the lists of a run, and their texts by file name; None where there is none."""
    for folder in _folders(root, lists, f"run{run}"):
        return folder, {path.name: _text(path) for path in folder.glob("*_filelist.txt")}
    member = re.compile(rf"(?:^|/)(?:{'|'.join(FOLDERS[lists])})/run{run}/((?:train_batch_\d+|test)_filelist\.txt)$")
    for archive in _archives(root):
        if texts := dict(_members(archive, member)):
            return archive, texts
    return None


def runs_found(root: Path) -> dict[str, list[int]]:
    """The runs of each list that are there, by the list of their first experience."""
    members = {
        lists: re.compile(rf"(?:^|/)(?:{'|'.join(names)})/run(\d)/train_batch_00_filelist\.txt$")
        for lists, names in FOLDERS.items()
    }
    if all((root / name).is_file() for name in PICKLES):
        return {lists: list(RUNS) for lists in FOLDERS}
    runs_of: dict[str, set[int]] = {}
    for lists in FOLDERS:
        runs_of[lists] = {int(folder.name[-1]) for folder in _folders(root, lists, "run[0-9]")}
    for archive in _archives(root):
        for lists, member in members.items():
            runs_of[lists] |= {int(run) for run, _ in _members(archive, member)}
    return {lists: sorted(runs) for lists, runs in runs_of.items()}


def _list_files(root: Path, lists: str, run: int) -> tuple[Path, dict[str, str]]:
    files = list_files(root, lists, run)
    if files is None and any((root / name).is_file() for name in PICKLES):
        files = root / "LUP.pkl", _pickled(root, lists, run)
    if files is None:
        raise UserError(
            f"{root} holds no list of {lists} for run {run} (the run's seed): "
            f"get them with `negreplay data core50 --root {root}`."
        )
    return files


def _folders(root: Path, lists: str, run: str) -> Iterator[Path]:
    """Folders of runs, directly in `root` or one level deeper."""
    for name in FOLDERS[lists]:
        yield from sorted(root.glob(f"{name}/{run}"))
        yield from sorted(root.glob(f"*/{name}/{run}"))


def _archives(root: Path) -> list[Path]:
    """Everything that may hold lists; the archive of the images is too large to look through."""
    candidates = (path for path in root.iterdir() if path.name.endswith(_ARCHIVES) and path.is_file())
    return sorted(path for path in candidates if not path.name.startswith(".") and "core50_128x128" not in path.name)


def _members(archive: Path, wanted: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """What `wanted` captures of the members' paths, with their texts."""
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as file:
                for name in file.namelist():
                    if match := wanted.search(name):
                        check_size(file.getinfo(name).file_size, _LARGEST_LIST)
                        yield match[1], file.read(name).decode()
            return
        for name, content in files_of_tar(archive, wanted.search, _LARGEST_LIST):
            if match := wanted.search(name):
                yield match[1], content.decode()
    except Exception as error:  # whatever the standard library raises of a damaged archive
        raise UserError(f"{archive} cannot be read ({reason_of(error)}): get it again, or move it away.") from error


def _text(path: Path) -> str:
    try:
        return read_file(path, _LARGEST_LIST).decode()
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): get it again.") from error


def _pickled(root: Path, lists: str, run: int) -> dict[str, str]:
    """The list files that the pickles stand for: `LUP[lists][run]` and `labels[lists][run]` have the test set last."""
    paths, lookup, labels = (load_plain(root / name) for name in PICKLES)
    try:
        experiences = zip(lookup[lists][run][:-1], labels[lists][run][:-1], strict=True)  # type: ignore[index]
        return {
            f"train_batch_{k:02}_filelist.txt": "\n".join(
                _pickled_line(paths[i], label)  # type: ignore[index]
                for i, label in zip(rows, numbers, strict=True)
            )
            for k, (rows, numbers) in enumerate(experiences)
        }
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"{root}: {', '.join(PICKLES)} do not hold {lists}, run {run}, in the official form ({error}): "
            f"get the lists with `negreplay data core50 --root {root}`."
        ) from error


def _pickled_line(path: object, label: object) -> str:
    """A line of a list. What is written out is short: lists within lists may stand for a text without end."""
    if not isinstance(path, str) or not isinstance(label, int):
        raise TypeError("there is something else than a path and a number")
    return f"{path} {label}"


def _images(place: Path, name: str, text: str) -> tuple[str, ...]:
    """The images that a list file names; CRLF ends lines too."""
    images = []
    for number, line in enumerate(text.splitlines(), start=1):
        match = _LINE.fullmatch(line)
        if not match or int(match[2]) - 1 != int(match[3]):
            raise UserError(
                f"{place}: line {number} of {name}, {line!r}, is no image with the number of its object less one: "
                "get the list again."
            )
        images.append(match[1])
    return tuple(images)
