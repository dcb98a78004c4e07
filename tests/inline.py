"""A worker without a process, for tests that look into one: units of work are done where they are asked for."""

from collections.abc import Iterator

from bench.harness.runner import Runner, WorkerUnusable
from bench.harness.settings import Settings
from bench.harness.work_unit import WorkUnit
from bench.harness.worker import Message, Progress, UnitDone, WorkerDied
from bench.records import Case


class Inline:
    def __init__(self, settings: Settings, limit: float):
        self.settings = settings

    def run_unit(self, unit: WorkUnit) -> Iterator[Message]:
        said: list[Message] = []
        at: list[Case] = []
        runner = Runner(self.settings, said.append, lambda words, finished: said.append(Progress(words, finished)))
        try:
            runner.run_unit(unit, lambda case, checking: at.append(case))
        except WorkerUnusable as error:
            yield from said
            raise WorkerDied(at[-1:], str(error)) from None
        except KeyboardInterrupt:
            yield from said
            raise
        yield from [*said, UnitDone(runner.watch.take_seconds())]

    def renew(self) -> None:
        pass

    def drain(self) -> Iterator[Message]:
        return iter(())

    def kill(self) -> None:
        pass
