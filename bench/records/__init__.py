"""The records of a run in records.jsonl: one class per kind of line."""

from bench.records.base_record import Model
from bench.records.case_record import FAILURES, Case, CaseRecord, Errors, LowerBound, Memory, Mode, Numerics, Reading, Status, Stop
from bench.records.chaos_record import DecayRecord, MapRecord
from bench.records.gradient_record import GradientRecord
from bench.records.jacobian_record import JacobianRecord, Spectrum
from bench.records.parallel_record import ParallelRecord
from bench.records.records_file import Record, RecordError, Records, find_records, read_records, truncate_partial_line, write_record
from bench.records.run_record import Constants, End, Environment, Plan, Run
from bench.records.scale_record import ScaleRecord
from bench.records.schema import SCHEMA
from bench.records.theory_record import TheoryRecord

__all__ = [
    "FAILURES", "SCHEMA", "Case", "CaseRecord", "Constants", "DecayRecord", "End", "Environment", "Errors", "GradientRecord",
    "JacobianRecord", "LowerBound", "MapRecord", "Memory", "Mode", "Model", "Numerics", "ParallelRecord", "Plan", "Reading", "Record",
    "RecordError", "Records", "Run", "ScaleRecord", "Spectrum", "Status", "Stop", "TheoryRecord", "find_records", "read_records",
    "truncate_partial_line", "write_record",
]  # fmt: skip
