"""The base of all records: plain data, checked when it is read, never changed."""

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
"""One line of what can be printed."""


class Model(BaseModel):
    """The base of all records. Raises ValidationError for a field that it doesn't have or a value that isn't of its type."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")
