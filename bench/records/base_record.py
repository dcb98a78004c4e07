"""The base class of all records: immutable plain data, validated when it is read."""

from collections.abc import Sized
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LEAST = 1e-12


def _measurable(seconds: float) -> float:
    if 0 < seconds < LEAST:
        raise ValueError("no clock tells less than a picosecond")
    return seconds


Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False), AfterValidator(_measurable)]
Size = Annotated[int, Field(ge=1, lt=2**31)]
Name = Annotated[str, Field(max_length=200, pattern=r"^\P{C}*$")]
"""One line of printable characters."""


class Model(BaseModel):
    """The base class of all records. Raises ValidationError for an unknown field or a value of the wrong type."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


def check_same_length(what: str, *lists: Sized) -> None:
    """Raises ValueError if lists differ in length.

    Args:
        what: Names the lists in the message.
        lists: The lists.
    """
    if len(set(map(len, lists))) > 1:
        raise ValueError(f"{what} differ in length")
