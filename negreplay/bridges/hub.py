"""Models of photographs on the Hugging Face Hub: push, pull, and a model to predict with.

What comes from there is not trusted. It goes through the reader of all model files, which runs no code and checks all.
"""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from negreplay.bridges.card import card, is_untouched
from negreplay.errors import UserError
from negreplay.photographs.files import check_path, read_model, write_version, writing
from negreplay.photographs.model import Model

FILE = "model.safetensors"
"""What the one file of a model is called on the Hub."""
CARD = "README.md"


class Pushed(NamedTuple):
    """The address of a push, and whether its page was left alone because somebody had edited it."""

    address: str
    card_left: bool


def push(repo: str, path: Path, private: bool = False) -> Pushed:
    """Puts a model on the Hub with a page that describes it; earlier versions stay there as earlier commits.

    Args:
        repo: where it goes, as USER/NAME; a repository that is not there is made.
        path: the file of the model.
        private: whether only its owner may see it.

    Raises:
        UserError: the model cannot be read, nobody is logged in, the Hub refuses, or the repository is there already
            and public although `private` is asked for.
    """
    hub, api = _hub(repo)
    content, model = path.read_bytes() if path.is_file() else b"", read_model(path)
    if hub.get_token() is None:
        raise UserError("nobody is logged in to the Hub: type `hf auth login`, or set HF_TOKEN.")
    with _explained(repo):
        api.create_repo(repo, private=private, exist_ok=True)
        if private and not api.model_info(repo).private:
            raise UserError(f"{repo} is public already: make it private on the Hub first, or give another name.")
        left = not _may_replace(hub, api, repo)
        files = {FILE: content} if left else {FILE: content, CARD: card(model, repo).encode()}
        commit = api.create_commit(
            repo,
            [hub.CommitOperationAdd(name, data) for name, data in files.items()],
            commit_message=f"{len(model.names)} classes, {sum(model.counts.values())} pictures",
        )
    return Pushed(str(commit.commit_url), left)


def pull(repo: str, path: Path, revision: str | None = None) -> Model:
    """Fetches a model into a file; an older version of it that is there stays beside it.

    Args:
        repo: where it is, as USER/NAME.
        path: the file.
        revision: a branch, a tag or a commit; without one the newest.

    Raises:
        UserError: the Hub has no such model, or it is damaged; or the file holds something else than an older version
            of it, and stays as it is.
    """
    check_path(path)
    _, api = _hub(repo)
    with _explained(repo, revision):
        commit = api.model_info(repo, revision=revision).sha  # fails without a network, where a copy would be stale
    fetched = _fetch(repo, commit)
    model, content = _read(fetched, repo), fetched.read_bytes()
    with writing(path):
        if path.exists() and path.read_bytes() != content:
            if not is_older(read_model(path), model):
                raise UserError(f"{path} holds something else than an older version of {repo}: give another --model.")
            write_version(content, path)
        elif not path.exists():
            write_version(content, path)
    return model


def from_pretrained(repo: str, revision: str | None = None) -> Model:
    """The model in a repository of the Hub, from a copy on this machine where there is one that is not outdated.

    Args:
        repo: where it is, as USER/NAME.
        revision: a branch, a tag or a commit; without one the newest.

    Raises:
        UserError: the Hub has no such model, it is damaged, or the Hub cannot be reached and there is no copy.
    """
    return _read(_fetch(repo, revision), repo)


def is_older(old: Model, new: Model) -> bool:
    """Whether a model is another one before its last lessons, and nothing but lessons has changed it."""
    taught = Counter[str]()
    for lesson in old.lessons:
        taught.update(lesson.learned)
        taught.update(lesson.held_back)
    count = len(old.lessons)
    return count < len(new.lessons) and new.lessons[:count] == old.lessons and taught == old.counts


def _hub(repo: str) -> tuple[Any, Any]:
    """The package, and its face of the Hub that `HF_ENDPOINT` names."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo, re.ASCII):
        raise UserError(f"{repo!r} is no name of a repository: give USER/NAME.")
    try:
        hub = import_module("huggingface_hub")
    except ModuleNotFoundError:
        raise UserError("the Hub needs huggingface_hub: pip install 'negreplay[hub]'.") from None
    return hub, hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="negreplay")


def _fetch(repo: str, revision: str | None) -> Path:
    _, api = _hub(repo)
    with _explained(repo, revision):
        return Path(api.hf_hub_download(repo, FILE, revision=revision))


def _read(path: Path, repo: str) -> Model:
    try:
        return read_model(path, "ask its owner to push it again, or take an earlier revision.")
    except UserError as error:
        raise UserError(str(error).replace(str(path), f"{FILE} of {repo}")) from None


def _may_replace(hub: Any, api: Any, repo: str) -> bool:
    """Whether the page in a repository is missing, or still as it was made."""
    try:
        return is_untouched(Path(api.hf_hub_download(repo, CARD)).read_bytes().decode(errors="replace"))
    except hub.errors.RemoteEntryNotFoundError:
        return True


@contextmanager
def _explained(repo: str, revision: str | None = None) -> Iterator[None]:
    """Makes one sentence of whatever the Hub, the network or the library for it raises."""
    errors, logger = import_module("huggingface_hub.errors"), logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)  # a warning of each attempt, with its traceback, would come before the sentence
    try:
        yield
    except UserError:
        raise
    except errors.HFValidationError:
        raise UserError(f"{repo!r} is no name of a repository: give USER/NAME.") from None
    except errors.RevisionNotFoundError:
        raise UserError(f"{repo} has no revision {revision!r}: leave it out to take the newest.") from None
    except errors.RemoteEntryNotFoundError:
        raise UserError(f"{repo} has no {FILE}: give a repository that `negreplay push` has made.") from None
    except errors.RepositoryNotFoundError:
        reason = "or it is private and your token does not open it"
        raise UserError(f"{repo} is not on the Hub, {reason}: check the name, or type `hf auth login`.") from None
    except Exception as error:  # whatever else the library and the network below it raise
        if getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
            remedy = "type `hf auth login` with a token that may write there"
            raise UserError(f"the Hub does not let you write to {repo}: {remedy}.") from None
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise UserError(f"the Hub cannot be used for {repo} ({reason}): check the network, and try again.") from error
    finally:
        logger.setLevel(level)
