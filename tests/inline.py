"""A worker without a process, for tests that look into one: jobs are done where they are asked for."""

from collections.abc import Iterator

from bench.harness.jobs import Job
from bench.harness.runner import Lost, Runner
from bench.harness.settings import Settings
from bench.harness.worker import Died, Done, Message, Said
from bench.records import Case


class Inline:
    def __init__(self, settings: Settings, limit: float):
        self.settings = settings

    def do(self, job: Job) -> Iterator[Message]:
        said: list[Message] = []
        at: list[Case] = []
        runner = Runner(self.settings, said.append, lambda words, finished: said.append(Said(words, finished)))
        try:
            runner.run(job, lambda case, checking: at.append(case))
        except Lost as error:
            yield from said
            raise Died(at[-1:], str(error)) from None
        except KeyboardInterrupt:
            yield from said
            raise
        yield from [*said, Done(runner.watch.taken())]

    def last_words(self) -> Iterator[Message]:
        return iter(())

    def kill(self) -> None:
        pass
