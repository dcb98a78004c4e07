"""What a run leaves behind: records.jsonl, a noun for each kind of its lines."""

from bench.records.case import FAILURES, Case, CaseRecord, Demand, Errors, Memory, Mode, Reading, Status, Stop, Work
from bench.records.file import Record, RecordError, Records, mend, read, write
from bench.records.gradient import GradientRecord
from bench.records.model import Model
from bench.records.run import SCHEMA, Constants, End, Environment, Run

__all__ = [
    "FAILURES", "SCHEMA", "Case", "CaseRecord", "Constants", "Demand", "End", "Environment", "Errors", "GradientRecord", "Memory", "Mode",
    "Model", "Reading", "Record", "RecordError", "Records", "Run", "Status", "Stop", "Work", "mend", "read", "write",
]  # fmt: skip
