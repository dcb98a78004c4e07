"""What a run leaves behind: records.jsonl, a noun for each kind of its lines."""

from bench.records.case import FAILURES, Case, CaseRecord, Demand, Errors, Memory, Mode, Status
from bench.records.file import RecordError, Records, read, write
from bench.records.gradient import GradientRecord
from bench.records.model import Model
from bench.records.run import SCHEMA, Constants, Environment, Run

__all__ = [
    "FAILURES", "SCHEMA", "Case", "CaseRecord", "Constants", "Demand", "Environment", "Errors", "GradientRecord", "Memory", "Mode", "Model",
    "RecordError", "Records", "Run", "Status", "read", "write",
]  # fmt: skip
