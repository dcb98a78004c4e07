"""What a run leaves behind: records.jsonl, a noun for each kind of its lines."""

from bench.records.base_record import Model
from bench.records.case_record import (
    FAILURES,
    HEAD_START_CYCLES,
    Case,
    CaseRecord,
    Demand,
    Errors,
    Memory,
    Mode,
    Reading,
    Status,
    Stop,
    Work,
)
from bench.records.chaos_record import DecayRecord, MapRecord
from bench.records.gradient_record import GradientRecord
from bench.records.jacobian_record import JacobianRecord, Spectrum
from bench.records.records_file import Record, RecordError, Records, compress, find_records, mend, read, write
from bench.records.run_record import SCHEMA, Constants, End, Environment, Run
from bench.records.scale_record import ScaleRecord
from bench.records.theory_record import TheoryRecord

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
    "compress",
    "find_records",
    "mend",
    "read",
    "write",
]  # fmt: skip
