"""Relates the times of a run to those of torch.nn in the same run, so that runs of two machines can be compared."""

from bench.analysis.summary import CaseIndex, find_peers, speedups_by_build
from bench.records import CaseRecord, Records


def ratios_to_vendor(record: CaseRecord, table: CaseIndex) -> tuple[float, ...]:
    """Returns the speedups over the vendor's case by build; () without such a case."""
    peer = find_peers(table, record.case).first if record.case.backend != "vendor" else None
    return speedups_by_build(record, peer) if peer else ()


def relate_to_vendor(run: Records) -> Records:
    """Returns a run with one sample for each build: its time divided by the vendor's. Cases that the vendor lacks have none."""
    table = CaseIndex.from_records(run.cases)

    def relate(record: CaseRecord) -> CaseRecord:
        samples = [1 / ratio for ratio in ratios_to_vendor(record, table)]
        numbers = list(range(len(samples)))
        return record.model_copy(update={"samples": samples, "rounds": numbers, "builds": numbers})

    return run.model_copy(update={"cases": [relate(record) for record in run.cases]})
