"""What a run leaves behind: records.jsonl, a noun for each kind of its lines."""

from bench.records.case import FAILURES, HEAD_START_CYCLES, Case, CaseRecord, Demand, Errors, Memory, Mode, Reading, Status, Stop, Work
from bench.records.chaos import DecayRecord, MapRecord
from bench.records.file import Record, RecordError, Records, mend, read, write
from bench.records.gradient import GradientRecord
from bench.records.jacobian import JacobianRecord, Spectrum
from bench.records.model import Model
from bench.records.run import SCHEMA, Constants, End, Environment, Run
from bench.records.scale import ScaleRecord
from bench.records.theory import TheoryRecord

__all__ = [
    "FAILURES",
    "HEAD_START_CYCLES",
    "SCHEMA",
    "Case",
    "CaseRecord",
    "Constants",
    "DecayRecord",
    "Demand",
    "End",
    "Environment",
    "Errors",
    "GradientRecord",
    "JacobianRecord",
    "MapRecord",
    "Memory",
    "Mode",
    "Model",
    "Reading",
    "Record",
    "RecordError",
    "Records",
    "Run",
    "ScaleRecord",
    "Spectrum",
    "Status",
    "Stop",
    "TheoryRecord",
    "Work",
    "mend",
    "read",
    "write",
]  # fmt: skip
