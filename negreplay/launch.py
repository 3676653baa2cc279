"""The ranks of a run: other processes are started here, or by torchrun or Slurm, and all of them form a group.

Lightning Fabric finds out who has started them and makes the group; sums over it are those of `negreplay.ranks`.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import torch

from negreplay.cell import learn_cell
from negreplay.devices import Device
from negreplay.errors import UserError
from negreplay.prepare import Cell, Event
from negreplay.ranks import Ranks, joined, lost

NOTICED_SECONDS = 15.0
"""In this time a rank notices that another one has ended, if it computes."""
PATIENCE = timedelta(minutes=30)
"""A rank that does not answer for so long is lost."""


def started_outside(environment: Mapping[str, str] = os.environ) -> Ranks | None:
    """Which of several ranks this process is, if torchrun or Slurm has started it as one of several; else None."""
    if "TORCHELASTIC_RUN_ID" in environment:
        ranks = Ranks(int(environment["RANK"]), int(environment["WORLD_SIZE"]))
    elif "SLURM_PROCID" in environment and environment.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        ranks = Ranks(int(environment["SLURM_PROCID"]), int(environment.get("SLURM_NTASKS", "1")))
    else:
        return None
    return ranks if ranks.count > 1 else None


def learn_together(cells: Sequence[Cell], folder: Path, count: int, threads: int) -> Generator[Event, None, None]:
    """Learns what is left of the cells of a run, one after the other, each by all ranks; this process leads them.

    Args:
        cells: whose checkpoints are in the folder.
        folder: of the run.
        count: of ranks.
        threads: of each rank.

    Raises:
        UserError: Lightning Fabric is missing, or there are fewer devices.
        RankLostError: another rank has ended.
    """
    torch.set_num_threads(threads)
    with together(folder, count, cells[0].places.device):
        for cell in cells:
            yield from learn_cell(cell)


def learn_along(cells: Sequence[Cell], threads: int) -> None:
    """Learns the cells with the leading rank, which alone acts on Ctrl-C and SIGTERM."""
    torch.set_num_threads(threads)
    for cell in cells:
        for _ in learn_cell(cell):
            pass


@contextmanager
def together(folder: Path, count: int, device: Device) -> Iterator[None]:
    """A block in which this process leads `count` ranks that learn the run in a folder.

    Those that nobody has started are started on this machine, and end with the block.

    Raises:
        UserError: Lightning Fabric is missing, or there are fewer devices.
    """
    check_ranks(count, device)
    if started_outside() is not None:
        with grouped(device, folder):
            yield
        return
    before = dict(os.environ)
    shared = {"TORCHELASTIC_RUN_ID": "negreplay", "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "GROUP_RANK": 0}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _free_port()}
    environments = [
        before | {name: str(value) for name, value in (shared | {"RANK": rank, "LOCAL_RANK": rank}).items()}
        for rank in range(count)
    ]
    command = [sys.executable, "-m", "negreplay", "resume", str(folder.absolute())]
    # In a session of their own, a terminal's Ctrl-C does not reach them.
    others = [
        subprocess.Popen(command, env=each, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
        for each in environments[1:]
    ]
    over = threading.Event()
    threading.Thread(target=_watch, args=(others, over), daemon=True).start()
    try:
        os.environ.update(environments[0])
        with grouped(device, folder):
            yield
        over.set()
        for process in others:
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
    finally:
        over.set()
        for process in others:
            process.kill()
            process.wait()
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def grouped(device: Device, folder: Path | None) -> Iterator[Path]:
    """A block in which this process is one rank of a group; all ranks get the folder that the leading one names."""
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    ranks = started_outside()
    assert ranks is not None, "its environment says so"
    if not ranks.leads:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cuda = device.name.startswith("cuda")
    local = int(os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("SLURM_NTASKS_PER_NODE") or ranks.count)
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    strategy = DDPStrategy(process_group_backend=backend, timeout=PATIENCE)
    for module in ("distributed", "rank_zero"):  # they say who has come
        logging.getLogger(f"lightning_fabric.utilities.{module}").setLevel(logging.WARNING)
    kind = "cuda" if cuda else "cpu"
    fabric = Fabric(accelerator=kind, strategy=strategy, devices=local, num_nodes=ranks.count // local)
    fabric.launch()
    if cuda:
        torch.cuda.set_device(fabric.device)
    try:
        named = fabric.broadcast(None if folder is None else str(folder.absolute()))
        assert named is not None, "the leading rank names a folder"
        with joined(ranks):
            yield Path(named)
    finally:
        torch.distributed.destroy_process_group()


def _watch(others: list[subprocess.Popen[bytes]], over: threading.Event) -> None:
    """Ends this process if another rank has ended and it does not notice, as while it waits for that one to join.

    Nothing is lost by it, for whatever it may be writing gets its name when it is complete.
    """
    while not over.wait(1):
        if any(process.poll() for process in others) and not over.wait(NOTICED_SECONDS):
            print(f"negreplay: {lost(len(others) + 1)}", file=sys.stderr, flush=True)
            os._exit(2)


def check_ranks(count: int, device: Device) -> None:
    """Refuses a number of ranks that cannot be.

    Raises:
        UserError: it is not what torchrun or Slurm has started, Lightning Fabric is missing, or there are fewer GPUs.
    """
    if count < 1:
        raise UserError(f"--ranks is {count}: give 1 or more.")
    outside = started_outside()
    if outside is not None and outside.count != count:
        raise UserError(
            f"--ranks is {count}, but {outside.count} processes were started: give --ranks {outside.count}."
        )
    if count == 1:
        return
    try:
        import lightning_fabric  # noqa: F401
    except ImportError as error:
        raise UserError(
            "several ranks need lightning_fabric, which is not installed: pip install 'negreplay[ranks]'."
        ) from error
    if device.name == "mps" or (device.name.startswith("cuda") and ":" in device.name):
        raise UserError(f"the device is {device.name}, which several ranks cannot share: give cpu or cuda.")
    if outside is None and device.name == "cuda" and torch.cuda.device_count() < count:
        raise UserError(
            f"--ranks is {count}, but there are {torch.cuda.device_count()} GPUs here: each rank needs one of its own."
        )


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
