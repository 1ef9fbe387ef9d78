"""A private kernel for one run: sockets that nobody else can reach, a fixed environment, a way to stop it.

The default transport of a Jupyter kernel is plain TCP, which any user of a shared server can listen to.
Here it is a Unix socket in a folder of mode 0700, one folder for each kernel: the default socket names
depend on the current folder and collide when several notebooks run at once.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LONGEST_SOCKET_FOLDER = 80  # a socket's path may have 107 bytes on Linux, 103 on macOS

_THREADS_OF = ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "NUMEXPR_NUM", "VECLIB_MAXIMUM")


@dataclass
class Kernel:
    """What the runner knows of the kernel process of one run."""

    manager_class: type
    home: Path
    pid: int | None = field(default=None)

    def kill(self) -> None:
        """End the kernel and every process it started, at once."""
        if self.pid is None:
            return
        try:
            if sys.platform == "win32":
                os.kill(self.pid, signal.SIGTERM)  # ends the process outright there
            else:
                os.killpg(self.pid, signal.SIGKILL)  # the kernel leads a process group of its own
        except ProcessLookupError:
            pass  # it has ended by itself in the meantime, which is what was wanted


def environment(home: Path, extra: dict[str, str]) -> dict[str, str]:
    """The environment of a kernel: ours, made repeatable.

    Linear algebra runs on one thread, because sums in another order differ in the last digits; a
    notebook's share of the cores is `CLINOPS_JOBS`, for work whose result does not depend on it.
    """
    fixed = {
        "PYTHONHASHSEED": "0",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "IPYTHONDIR": str(home / "ipython"),  # no start-up files or settings of the user's
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        **{f"{library}_THREADS": "1" for library in _THREADS_OF},
    }
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONSTARTUP"}
    return {**inherited, **fixed, **extra}


@contextmanager
def private_kernel(extra: dict[str, str]) -> Iterator[Kernel]:
    """Yield a kernel that can be started once through its `manager_class`; clean up behind it.

    Parameters
    ----------
    extra : environment variables to set for it.
    """
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) > LONGEST_SOCKET_FOLDER and Path("/tmp").is_dir():
        parent = "/tmp"
    home = Path(tempfile.mkdtemp(prefix="clinops-", dir=parent))  # mode 0700
    kernel = Kernel(object, home)
    kernel.manager_class = _manager_class(kernel, environment(home, extra))
    try:
        yield kernel
    finally:
        kernel.kill()
        shutil.rmtree(home, ignore_errors=True)


def _manager_class(kernel: Kernel, variables: dict[str, str]) -> type:
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class PrivateKernelManager(AsyncKernelManager):
        """Starts this very Python, whatever kernels are registered, on sockets of its own."""

        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.connection_file = str(kernel.home / "kernel.json")
            if sys.platform != "win32":
                self.transport = "ipc"
                self.ip = str(kernel.home / "s")

        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(**get_kernel_dict())

        async def start_kernel(self, **settings: Any) -> None:  # type: ignore[override]
            await super().start_kernel(**{**settings, "env": variables})
            kernel.pid = getattr(self.provisioner, "pid", None)

    return PrivateKernelManager
