"""Tells whether a run has measured all that it planned."""

from bench.records import Records

SILENT = 1
"""The schema whose runs had no last line: nothing is said of them. In schemas 2 to 4 only runs with cases had one, and none had a plan."""


def describe_unfinished(records: Records) -> str:
    """Returns "unfinished: 39 of 247 planned cases", or "" for a finished run and for one whose records can't tell."""
    measured = len({record.case for record in records.cases if record.status != "skipped"})
    if records.plans:
        plan = records.plans[-1]
        trained = sum(record.end != "time" for record in records.training)
        done = {"case": measured, "training": trained, "measurement": records.dynamics_count + len(records.scale)}[plan.unit]
        missing = f"; without {plan.missing}" if plan.missing else ""
        ended = records.ends and done >= plan.count and not missing
        return "" if ended else f"unfinished: {done:,} of {plan.count:,} planned {plan.unit}s{missing}"
    skipped = sum(record.status == "skipped" for record in records.cases)
    if not (SILENT < records.run.schema_version < 5 and records.cases) or (records.ends and not skipped):
        return ""
    return f"unfinished: {measured:,} of {f'{measured + skipped:,}' if records.ends else 'an unknown number of'} planned cases"
