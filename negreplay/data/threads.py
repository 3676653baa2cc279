"""The threads that read and decode images, one pool for each process."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

THREADS = min(os.cpu_count() or 1, 16)


def pool() -> ThreadPoolExecutor:
    """The pool of this process, made when it is first asked for.

    Pillow decodes and resizes outside the interpreter's lock; on two cores processes were not clearly faster.
    """
    return _pool_of(os.getpid())


@cache
def _pool_of(process: int) -> ThreadPoolExecutor:
    """A forked process has a number of its own: threads do not survive a fork."""
    return ThreadPoolExecutor(THREADS, thread_name_prefix=f"images-{process}")
