"""What all records are: plain data, checked when it is read, never changed."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Size = Annotated[int, Field(ge=1, lt=2**31)]
Name = Annotated[str, Field(max_length=200, pattern=r"^\P{C}*$")]
"""One line of what can be printed."""


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")
