"""What a run leaves behind: records.jsonl, a noun for each kind of its lines."""

from bench.records.case import FAILURES, Case, CaseRecord, Demand, Errors, Memory, Mode, Reading, Status, Stop, Work
from bench.records.file import RecordError, Records, read, write
from bench.records.gradient import GradientRecord
from bench.records.model import Model
from bench.records.run import SCHEMA, Constants, End, Environment, Run

__all__ = [
    "FAILURES", "SCHEMA", "Case", "CaseRecord", "Constants", "Demand", "End", "Environment", "Errors", "GradientRecord", "Memory", "Mode",
    "Model", "Reading", "RecordError", "Records", "Run", "Status", "Stop", "Work", "read", "write",
]  # fmt: skip
