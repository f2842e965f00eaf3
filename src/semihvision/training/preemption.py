"""Ending in good order when told to: by SIGTERM, or by SIGUSR1 before a time limit of Slurm."""

import logging
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, NoReturn

from semihvision.core.errors import InputError

_log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StopSignals:
    """Notes the first of `SIGNALS` instead of ending the process."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._at_once: Callable[[int], NoReturn] | None = None
        self._listening = False
        self._before: dict[int, Any] = {}

    def listen(self, at_once: Callable[[int], NoReturn] | None = None) -> None:
        """Takes the signals over; again where somebody else has taken them in between.

        Args:
            at_once: What a signal calls with its number, in the middle of whatever is going on;
                None: it is noted.
        """
        self._at_once, self._listening = at_once, True
        for number in SIGNALS:
            before = signal.signal(number, self._note)
            self._before.setdefault(number, before)

    def release(self) -> None:
        """Gives the signals back to whom they belonged."""
        self._listening = False
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if not self._listening:
            # Lightning puts back, after an error, what it found when training began.
            signal.signal(number, self._before[number])
            os.kill(os.getpid(), number)
            return
        self.received = self.received or number
        if self._at_once is not None:
            self._at_once(number)


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
            f"scontrol requeue {job} failed: {done.stderr.strip()}. The checkpoint is saved, if "
            "there was a step to save; submit the job again, or with `#SBATCH --requeue`"
        )
    _log.warning("job %s is back in the queue", job)
    return True
