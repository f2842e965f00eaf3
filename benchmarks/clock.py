"""Durations of parts of a step, on the device where there is one."""

import contextlib
import time
from collections import defaultdict

import torch


class Clock:
    """Durations of parts of a step on the device, by events around modules."""

    def __init__(self, device: str) -> None:
        self.cuda = device == "cuda"
        self.spans: dict[str, list] = defaultdict(list)

    def _now(self):
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    @contextlib.contextmanager
    def part(self, name: str):
        began = self._now()
        yield
        self.spans[name].append((began, self._now()))

    def watch(self, module: torch.nn.Module, name: str) -> None:
        started: list = []
        module.register_forward_pre_hook(lambda *_: started.append(self._now()))
        module.register_forward_hook(
            lambda *_: self.spans[name].append((started.pop(), self._now()))
        )

    def totals_ms(self) -> dict[str, float]:
        if self.cuda:
            torch.cuda.synchronize()
            spans = {n: sum(a.elapsed_time(b) for a, b in s) for n, s in self.spans.items()}
        else:
            spans = {n: sum(1e3 * (b - a) for a, b in s) for n, s in self.spans.items()}
        self.spans.clear()
        return spans
