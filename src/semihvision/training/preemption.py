"""Ending in good order when told to: by SIGTERM, or by SIGUSR1 before a time limit of Slurm."""

import logging
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from types import FrameType
from typing import Any

from semihvision.core.errors import InputError

_log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StopSignals:
    """Notes the first of `SIGNALS` instead of ending the process."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def listen(self) -> None:
        """Takes the signals over."""
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._note)

    def release(self) -> None:
        """Gives the signals back to whom they belonged."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received = self.received or number


def requeue(environment: Mapping[str, str] = os.environ) -> bool:
    """Puts this job back into Slurm's queue.

    Args:
        environment: Environment variables.

    Returns:
        Whether it was done; False outside Slurm.

    Raises:
        InputError: Slurm refuses.
    """
    job = environment.get("SLURM_JOB_ID", "")
    if "SLURM_ARRAY_JOB_ID" in environment:
        job = f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
    command = shutil.which("scontrol")
    if not re.fullmatch(r"\d+(_\d+)?", job) or command is None:
        return False
    done = subprocess.run([command, "requeue", job], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InputError(
            f"scontrol requeue {job} failed: {done.stderr.strip()}. The checkpoint is saved; "
            "submit the job again, or with `#SBATCH --requeue`"
        )
    _log.warning("job %s is back in the queue", job)
    return True
