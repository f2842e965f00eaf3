from pathlib import Path

import pytest
from annotation_bench import Bench, MakeBench
from chat_server import ChatServer
from demo_replies import demo_reply


@pytest.fixture
def bench(tmp_path: Path, chat_server: ChatServer) -> MakeBench:
    chat_server.reply = demo_reply
    return lambda *records: Bench(tmp_path, chat_server, records)
