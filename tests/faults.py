"""Backends with a fault each, for a run to survive: `--backends tests/faults.py:hangs`."""

import dataclasses
import os
import signal
import threading
import time

import torch

from bench.measure.backends import Unsupported, Workload, build
from bench.measure.problem import Problem

LATE = 0.0005


def refuses(problem: Problem) -> Workload:
    raise Unsupported("not on a Thursday")


def needs_too_much(problem: Problem) -> Workload:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 8 EiB\nand more")


def asks_for_all(problem: Problem) -> Workload:
    torch.empty(1 << 60)
    raise AssertionError


def raises(problem: Problem) -> Workload:
    raise ValueError("a shape that can't be\nand more")


def hangs(problem: Problem) -> Workload:
    time.sleep(600)
    raise AssertionError


def exits(problem: Problem) -> Workload:
    os._exit(3)


def crashes(problem: Problem) -> Workload:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def altered(problem: Problem, change) -> Workload:
    """The eager reference, whose results go through `change(y, inputs, states)`."""
    work = build("eager", problem)
    forward = work.forward

    def call(inputs, states):
        y, final = forward(inputs, states)
        return change(y, inputs, states), final

    return dataclasses.replace(work, forward=call)


def dies_when_timed(problem: Problem) -> Workload:
    calls = []

    def change(y, inputs, states):
        calls.append(1)
        if len(calls) > 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return y

    return altered(problem, change)


def wrong(problem: Problem) -> Workload:
    return altered(problem, lambda y, inputs, states: y * 1.001)


def not_a_number(problem: Problem) -> Workload:
    return altered(problem, lambda y, inputs, states: y * float("nan"))


def wrong_without_gradients(problem: Problem) -> Workload:
    return altered(problem, lambda y, inputs, states: y if torch.is_grad_enabled() else y * 1.001)


def spoils_inputs(problem: Problem) -> Workload:
    """After its work, as a kernel would that uses its input for scratch."""

    def change(y, inputs, states):
        if not torch.is_grad_enabled():
            states[0].zero_()
        return y

    return altered(problem, change)


def remembers(problem: Problem) -> Workload:
    kept = {}

    def change(y, inputs, states):
        return y if torch.is_grad_enabled() else kept.setdefault("y", y)

    return altered(problem, change)


def finishes_late(problem: Problem) -> Workload:
    """It comes back at once and goes on writing where no clock looks: on a GPU on another stream, on a CPU in another thread."""

    def change(y, inputs, states):
        if torch.is_grad_enabled():
            return y
        early = torch.zeros_like(y)
        if y.is_cuda:
            aside = torch.cuda.Stream()
            with torch.cuda.stream(aside):
                torch.cuda._sleep(2_000_000)
                early.copy_(y)
            early.record_stream(aside)
        else:

            def late() -> None:
                time.sleep(LATE)
                early.copy_(y)

            threading.Thread(target=late).start()
        return early

    return altered(problem, change)
