"""Reads and writes the records of a run: one JSON line for the run, then one for each measurement as it finishes.

    records.jsonl:   {"kind": "run", …}  {"kind": "case", …}  {"kind": "gradients", …}  …

The file keeps raw samples; reports are computed from them. Units are seconds, bytes and counts, without prefixes. The records of a finished
run may be gzipped, as records.jsonl.gz.
"""

import errno
import gzip
import json
import os
import zlib
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from bench.records.base_record import Model
from bench.records.case_record import FAILURES, CaseRecord
from bench.records.chaos_record import DecayRecord, MapRecord
from bench.records.gradient_record import GradientRecord
from bench.records.jacobian_record import JacobianRecord
from bench.records.parallel_record import ParallelRecord
from bench.records.run_record import End, Plan, Run
from bench.records.scale_record import ScaleRecord
from bench.records.schema import SCHEMA, upgrade_line
from bench.records.theory_record import TheoryRecord
from bench.records.tolerance import check_case, check_scaling, check_training
from bench.records.training_record import LearnedRecord, TrainingRecord

FILE, GZIPPED = "records.jsonl", "records.jsonl.gz"
MAGIC = b"\x1f\x8b"
"""The first bytes of a gzipped file; no line of JSON starts with them."""
BEGIN = b'{"kind":"run","schema_version":'
"""The first bytes of a plain file, in every schema."""


class RecordError(ValueError):
    """A records file can't be read. The message names the file, the line and the error."""


Record = (
    Run | CaseRecord | GradientRecord | JacobianRecord | TheoryRecord | MapRecord | DecayRecord | TrainingRecord | LearnedRecord
    | ScaleRecord | ParallelRecord | Plan | End
)  # fmt: skip
Line = TypeVar("Line", bound=Model)
_LINE: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="kind")])


class Records(Model):
    """The content of a records file. If a case was measured again, the last record counts, but failures stay. If a training was resumed,
    the last record counts. A measurement whose error exceeds its tolerance is incorrect, whatever its line says."""

    run: Run
    cases: list[Annotated[CaseRecord, AfterValidator(check_case)]]
    gradients: list[GradientRecord]
    jacobians: list[JacobianRecord] = Field(default_factory=list)
    theory: list[TheoryRecord] = Field(default_factory=list)
    maps: list[MapRecord] = Field(default_factory=list)
    decays: list[DecayRecord] = Field(default_factory=list)
    parallel: list[ParallelRecord] = Field(default_factory=list)
    plans: list[Plan] = Field(default_factory=list)
    ends: list[End] = Field(default_factory=list)
    training: list[Annotated[TrainingRecord, AfterValidator(check_training)]] = Field(default_factory=list)
    learned: list[LearnedRecord] = Field(default_factory=list)
    scale: list[Annotated[ScaleRecord, AfterValidator(check_scaling)]] = Field(default_factory=list)

    @property
    def dynamics_count(self) -> int:
        """Returns the number of records of signal studies."""
        return len([*self.gradients, *self.jacobians, *self.theory, *self.maps, *self.decays, *self.parallel])

    @property
    def has_measurements(self) -> bool:
        return bool(self.cases or self.dynamics_count or self.training or self.scale)


def write_record(stream: FileIO, line: Record) -> None:
    """Appends one record as a whole line, so that it survives a later crash.

    Raises:
        OSError: The disk is full. The file is unchanged then.
    """
    data = line.model_dump_json().encode() + b"\n"
    end = stream.tell()
    try:
        if stream.write(data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        stream.truncate(end)
        stream.seek(end)  # or the next record would leave a gap
        raise


def truncate_partial_line(path: Path) -> bool:
    """Removes an incomplete last line, which a killed process may leave. Returns whether there was one.

    A last line that is whole but for its end gets one. If the only line is incomplete, the file is empty afterwards. A file of anything but
    records stays as it is.

    Raises:
        RecordError: The whole lines can't be read, the only line doesn't begin like a run, or the last line holds more than one record.
    """
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    last = data[whole:]
    if not last:
        return False
    try:
        json.loads(last)
    except (ValueError, RecursionError) as error:
        if whole or not (last.startswith(BEGIN) or BEGIN.startswith(last)):
            read_records(path, data[:whole])
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
            raise RecordError(f"{path}: its last line holds more than one record: give each its own line. Nothing was changed") from None
        os.truncate(path, whole)
        return True
    read_records(path, data)
    with path.open("ab") as stream:
        stream.write(b"\n")
    return False


def find_records(folder: Path) -> Path | None:
    """Returns the records file of a folder, plain or gzipped, or None."""
    return next((folder / name for name in (FILE, GZIPPED) if (folder / name).is_file()), None)


def compress_records(folder: Path) -> Path:
    """Replaces the records of a folder by a gzipped file with reproducible bytes. Returns its path.

    Raises:
        RecordError: The folder has other records in such a file, which would be lost.
    """
    plain, packed = folder / FILE, folder / GZIPPED
    if plain.is_file() and packed.is_file() and _unzip(packed.read_bytes()) != plain.read_bytes():
        raise RecordError(f"{folder}: {FILE} and {GZIPPED} hold different records: move one of them to another folder")
    if plain.is_file():
        part = folder / f"{GZIPPED}.part"
        part.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
        part.replace(packed)
        plain.unlink()
    return packed


def _unzip(data: bytes) -> bytes | None:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return None


def read_records(path: Path, content: bytes | None = None) -> Records:
    """Reads a records file, plain or gzipped, or the one in a folder.

    Args:
        path: The file or its folder.
        content: The bytes of the file, if they are read already.

    Raises:
        RecordError: A line is incomplete or of an unknown schema, or the file can't be read.
    """
    path = (find_records(path) or path / FILE) if path.is_dir() else path
    try:
        lines = list(_parse(path, path.read_bytes() if content is None else content))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: can't be read ({error})") from None
    if not lines or not isinstance(lines[0], Run):
        raise RecordError(f"{path}: line 1 is not a run: {NO_RECORDS}")
    cases = {(line.case, line.status in FAILURES): line for line in lines if isinstance(line, CaseRecord)}
    measured = {case for (case, _), line in cases.items() if line.status != "skipped"}
    kept = [line for line in cases.values() if line.status != "skipped" or line.case not in measured]

    def select(kind: type[Line]) -> list[Line]:
        return [line for line in lines if isinstance(line, kind)]

    ends = select(End)
    return Records(
        run=lines[0].join_constants(ends), cases=kept, gradients=select(GradientRecord), jacobians=select(JacobianRecord),
        theory=select(TheoryRecord), maps=select(MapRecord), decays=select(DecayRecord), parallel=select(ParallelRecord),
        plans=select(Plan), ends=ends,
        training=list({line.trial.key: line for line in select(TrainingRecord)}.values()),
        learned=list({line.trial.key: line for line in select(LearnedRecord)}.values()),
        scale=list({line.key: line for line in select(ScaleRecord)}.values()),
    )  # fmt: skip


NO_RECORDS = "is this a records.jsonl that `bench all` wrote? Nothing was changed"
BROKEN = "the others can be read from a copy of the file without it"
"""Advice that loses nothing: a line that can't be read here may be whole elsewhere, or hold two records."""
BOM = "\ufeff"
"""A byte order mark, which some editors put in front of a file, and `cat` of such files in front of a line."""


def _parse(path: Path, data: bytes) -> Iterator[Record]:
    text = (gzip.decompress(data) if data.startswith(MAGIC) else data).decode()
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")
    schema = SCHEMA
    for number, text in enumerate(lines.split("\n") if lines else [], start=1):
        text = text.removeprefix(BOM)
        try:
            raw = json.loads(text, parse_int=_integer)
        except OverflowError:
            raise RecordError(f"{path}: line {number} holds a number that is too large to be a measurement") from None
        except (ValueError, RecursionError):
            if number == 1:
                raise RecordError(f"{path}: line 1 is not a run: {NO_RECORDS}") from None
            raise RecordError(f"{path}: line {number} is cut short or not JSON: {BROKEN}") from None
        version = raw.get("schema_version", SCHEMA) if isinstance(raw, dict) else None
        if version not in range(1, SCHEMA + 1):
            raise RecordError(f"{path}: line {number} has schema {json.dumps(version)[:20]}, this version reads up to {SCHEMA}")
        if number == 1 and isinstance(version, int):
            schema = version
        try:
            if schema < SCHEMA and isinstance(raw, dict):
                text = json.dumps(upgrade_line(raw))
            yield _LINE.validate_json(text)  # unlike Python, it rejects half of a surrogate pair
        except RecursionError:
            raise RecordError(f"{path}: line {number} is nested too deeply: {BROKEN}") from None
        except ValidationError as error:
            first = error.errors()[0]
            fault = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
            shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in fault)
            raise RecordError(f"{path}: line {number}: {shown}") from None


def _integer(digits: str) -> int:
    """Parses an integer. Raises OverflowError beyond 64 bits, which no count here reaches."""
    if len(digits) > 20 or not -(2**63) <= (number := int(digits)) < 2**63:
        raise OverflowError
    return number
