"""A unit of work: what the process that measures is asked for at a time."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from bench.records import Case

Kind = Literal["machine", "check", "gradients", "dynamics", "learning", "timing group"]
PREVIEWS: dict[Kind, str] = {"dynamics": "how signals travel", "learning": "what is learned"}
"""Short previews of what other commands measure in full. They have no cases, and the run continues if one fails."""


@dataclass(frozen=True)
class WorkUnit:
    """A piece of work for the process that measures.

    Its kind says what: read the machine, check a case without a time, measure the gradient norms that go with a case, preview what a
    study measures, or time the cases of a group interleaved.
    """

    kind: Kind
    name: str
    cases: tuple[Case, ...] = ()

    @property
    def pieces(self) -> int:
        """The steps of the progress bar that it takes."""
        return {"machine": 0, "timing group": 2}.get(self.kind, 1) * max(1, len(self.cases))

    def without(self, cases: Collection[Case]) -> "WorkUnit":
        return replace(self, cases=tuple(case for case in self.cases if case not in cases))
