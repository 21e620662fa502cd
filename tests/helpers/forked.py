"""Run something in a forked child, so that a crash is an answer and not the end of the tests."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import torch

MEMORY = 8 << 30  # bytes a child may have beyond those of its parent
SECONDS = 120


def verdict(call: Callable[[], str]) -> str:
    """What ``call`` says in a child, or what it died of. It must not raise."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        text = "the child was not heard"
        try:
            signal.alarm(SECONDS)
            torch.set_num_threads(1)  # the threads of the parent's pool stayed behind
            if "asan" not in os.environ.get("LD_PRELOAD", ""):  # whose shadow takes terabytes of addresses
                used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
                resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
            text = call()
        except BaseException as error:
            text = f"the check itself failed: {type(error).__name__}: {error}"
        finally:
            os.write(write, text.encode()[:60000])
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        heard = pipe.read().decode()
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return f"died of {signal.Signals(os.WTERMSIG(status)).name}"
    return heard if os.WEXITSTATUS(status) == 0 else f"ended with status {os.WEXITSTATUS(status)}"  # AddressSanitizer's
