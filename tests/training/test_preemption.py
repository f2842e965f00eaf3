"""Signals are noted, given back, and jobs go back into the queue."""

import os
import signal
import stat
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from semihvision.core.errors import InputError
from semihvision.training.preemption import SIGNALS, StopSignals, requeue

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_first_signal_is_noted_and_handlers_are_given_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    signals = StopSignals()
    signals.listen()
    assert signals.received is None
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGTERM)
    assert signals.received == signal.SIGUSR1
    signals.release()
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_signal_can_end_what_is_going_on() -> None:
    signals, ended = StopSignals(), []

    def end(number: int) -> NoReturn:
        ended.append(number)
        raise SystemExit(128 + number)

    signals.listen(at_once=end)
    with pytest.raises(SystemExit):
        os.kill(os.getpid(), signal.SIGTERM)
    signals.listen()
    os.kill(os.getpid(), signal.SIGTERM)
    signals.release()
    assert ended == [signal.SIGTERM]


def test_a_handler_that_is_put_back_after_its_release_hands_the_signal_on() -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    signals = StopSignals()
    signals.listen()
    ours = signal.getsignal(signal.SIGTERM)
    signals.release()
    # As Lightning does after an error in training.
    signal.signal(signal.SIGTERM, ours)
    os.kill(os.getpid(), signal.SIGTERM)
    signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]
    assert signals.received is None


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in that writes down how it was called, and fails for job 13."""
    program = tmp_path / "scontrol"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\ntest "$2" != 13\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path / "called"


def test_jobs_go_back_into_the_queue(scontrol: Path) -> None:
    assert requeue({"SLURM_JOB_ID": "77"})
    assert scontrol.read_text() == "requeue 77\n"
    array = {"SLURM_JOB_ID": "78", "SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_ID": "3"}
    assert requeue(array)
    assert scontrol.read_text() == "requeue 77_3\n"
    with pytest.raises(InputError, match="The checkpoint is saved"):
        requeue({"SLURM_JOB_ID": "13"})


@pytest.mark.parametrize("environment", [{}, {"SLURM_JOB_ID": "7; rm -rf /"}])
def test_what_is_no_job_is_left_alone(environment: dict[str, str], scontrol: Path) -> None:
    assert not requeue(environment)
    assert not scontrol.exists()


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_batch_scripts_are_valid_and_start_their_stage(stage: int) -> None:
    script = REPOSITORY / "docs" / "slurm" / f"stage{stage}.sbatch"
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text(encoding="utf-8")
    assert f"semihvision fit -c configs/train/stage{stage}.yaml" in text
    assert "#SBATCH --requeue" in text
    assert "#SBATCH --signal=SIGUSR1@" in text
