"""Fixtures that every room shares."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from chat_server import ChatServer
from hypothesis import settings

# Speed is measured in benchmarks/; on a shared machine a deadline would fail good code.
settings.register_profile("semihvision", deadline=None)
settings.load_profile("semihvision")

REPOSITORY = Path(__file__).resolve().parents[1]


def real_data_folder(relative: str) -> Path:
    """A folder or file of the shared real data; skips where absent, fails under CI=true."""
    shared = Path(os.environ.get("SEMIHVISION_REAL_DATA", REPOSITORY.parent / "shared"))
    path = shared / relative
    if not path.exists():
        message = f"real data {relative!r} not found; set SEMIHVISION_REAL_DATA to its folder"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


@pytest.fixture(scope="session")
def vqa_rad_root() -> Path:
    """The whole VQA-RAD in its owners' layout."""
    return real_data_folder("data/vqa_rad")


@pytest.fixture(scope="session")
def slake_root() -> Path:
    """SLAKE's questions in their owners' layout, without images."""
    return real_data_folder("data/slake")


@pytest.fixture(scope="session")
def path_vqa_root() -> Path:
    """PathVQA's questions in their owners' LXMERT form, without images."""
    return real_data_folder("data/pathvqa")


@pytest.fixture(scope="session")
def mmmu_folder() -> Path:
    """MMMU's validation answers and LLaVA-1.5-13B's published outputs."""
    return real_data_folder("data/mmmu")


@pytest.fixture(scope="session")
def deeplesion_table() -> Path:
    """158 real rows of DeepLesion's table."""
    return real_data_folder("data/deeplesion/DL_info_subset.csv")


@pytest.fixture(scope="session")
def medical_files() -> Path:
    """The folder of pydicom's and nibabel's test files."""
    real_data_folder("data/nibabel_test_data")
    return real_data_folder("data/pydicom_test_files").parent


@pytest.fixture(scope="session")
def mumc_predictions() -> Path:
    """The published prediction files of MUMC on VQA-RAD."""
    return real_data_folder("data/vqa_rad_mumc_predictions")


@pytest.fixture(scope="session")
def golden_square() -> Path:
    """Inputs, weights and outputs of the official Cambrian-1 code, tiny and square."""
    return real_data_folder("golden/cambrian_square.safetensors")


class MLflowStore:
    """Looks into the store that the code under test writes to."""

    def __init__(self, client: Any, folder: Path) -> None:
        self._client = client
        self.folder = folder

    def run(self, run_id: str) -> Any:
        return self._client.get_run(run_id)

    def experiment(self, name: str) -> Any:
        return self._client.get_experiment_by_name(name)

    def runs(self, experiment: str) -> list[Any]:
        """Runs of an experiment, the newest first."""
        return list(self._client.search_runs([self.experiment(experiment).experiment_id]))

    def artifacts(self, run_id: str) -> Path:
        return Path(urlsplit(self.run(run_id).info.artifact_uri).path)


@pytest.fixture(scope="session")
def mlflow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for the whole session: making its schema takes two seconds."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture
def mlflow_store(mlflow_folder: Path, monkeypatch: pytest.MonkeyPatch) -> MLflowStore:
    """Makes the session's store the one in use."""
    from semihvision import tracking

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{mlflow_folder}/mlflow.db")
    return MLflowStore(tracking.store_client(), mlflow_folder)


@pytest.fixture
def remote_endpoint(chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of another machine for the policy and the client; `chat_server` answers there."""
    from remote_endpoint import reroute

    return reroute(chat_server, monkeypatch)


@pytest.fixture
def chat_server() -> Iterator[ChatServer]:
    """A chat-completions server on loopback; set its `reply` to program it."""
    with ChatServer() as server:
        yield server
