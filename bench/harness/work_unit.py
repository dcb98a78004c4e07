"""Defines the work unit: the amount of work that the worker process gets at a time."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from bench.measure.fingerprint import Fingerprint
from bench.records import Case

Kind = Literal["machine", "check", "gradients", "dynamics", "learning", "timing group"]
PREVIEWS: dict[Kind, str] = {"dynamics": "signal propagation", "learning": "a short training"}
"""Short previews of the studies of other commands. They have no cases, and the run continues if one fails."""


@dataclass(frozen=True)
class WorkUnit:
    """A piece of work for the worker process.

    Attributes:
        kind: The kind of work. "machine" reads the machine, "check" checks a case without timing it, "gradients" measures the gradient
            norms of a case, "dynamics" and "learning" preview a study, and "timing group" times its cases interleaved.
        name: A line for progress.
        cases: The cases; none for "machine" and previews.
        build: The build that is timed, from 0: the cases of a timing group are built anew several times.
        fingerprints: The results of the first build, by case.
    """

    kind: Kind
    name: str
    cases: tuple[Case, ...] = ()
    build: int = 0
    fingerprints: Mapping[Case, Fingerprint] = field(default_factory=dict)

    @property
    def pieces(self) -> int:
        """Returns the number of progress steps that the unit takes."""
        return {"machine": 0, "timing group": 2}.get(self.kind, 1) * max(1, len(self.cases))

    def remove_cases(self, cases: Collection[Case]) -> "WorkUnit":
        """Returns the unit without some cases.

        Args:
            cases: The cases to remove.
        """
        return replace(self, cases=tuple(case for case in self.cases if case not in cases))


@dataclass(frozen=True)
class Checked:
    """A message: a case passed its checks in the first build, and its result is this."""

    case: Case
    fingerprint: Fingerprint
