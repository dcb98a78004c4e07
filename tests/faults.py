"""Backends with a fault each, for a run to survive: `--backends tests/faults.py:hangs`."""

import dataclasses
import os
import signal
import threading
import time

import torch

from bench.measure.backends import Unsupported, Workload, build_workload
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
    work = build_workload("eager", problem)
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


def right_but_twice(problem: Problem) -> Workload:
    """As what is wrong once it is warm."""
    calls = []

    def change(y, inputs, states):
        calls.append(1)
        return y if len(calls) <= 2 else y * 1.5

    return altered(problem, change)


def piles_up(problem: Problem) -> Workload:
    """The gradients of its weights are added to those of the call before."""
    work = build_workload("eager", problem)
    sums = [torch.zeros_like(weight) for weight in work.learned]
    honest = work.differentiate

    def differentiate(y):
        gradients = honest(y)
        inputs, learned = gradients[: len(work.inputs)], gradients[len(work.inputs) :]
        return (*inputs, *(s.add_(g).clone() for s, g in zip(sums, learned, strict=True)))

    work.differentiate = differentiate
    return work


def spoils_what_all_are_given(problem: Problem) -> Workload:
    for weight in problem.weights.values():
        weight.mul_(3)
    problem.x.mul_(3)
    return build_workload("eager", problem)


def takes_another_thread(problem: Problem) -> Workload:
    torch.set_num_threads(torch.get_num_threads() + 1)
    return build_workload("eager", problem)


def doubles_by_default(problem: Problem) -> Workload:
    work = build_workload("eager", problem)
    torch.set_default_dtype(torch.float64)
    return work


def forgets_gradients(problem: Problem) -> Workload:
    torch.set_grad_enabled(False)
    return build_workload("eager", problem)


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("it has no words")


def fails_without_words(problem: Problem) -> Workload:
    raise Speechless


def says_what_none_can_write(problem: Problem) -> Workload:
    raise ValueError("\x1b[31m no \udcff text " + "x" * 1_000_000)


def interrupts_when_timed(problem: Problem) -> Workload:
    calls = []

    def change(y, inputs, states):
        calls.append(1)
        if len(calls) > 7:
            raise KeyboardInterrupt
        return y

    return altered(problem, change)


def closes_all_files(problem: Problem) -> Workload:
    """Its own work is done then, and what comes after it can't be told."""
    os.closerange(3, 256)
    return build_workload("eager", problem)


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
