"""Relates the times of a run to those of torch.nn in the same run, so that runs of two machines can be compared."""

from bench.analysis.summary import CaseIndex, find_peers, is_comparable, is_timed
from bench.records import CaseRecord, Records


def ratios_by_round(record: CaseRecord, table: CaseIndex) -> tuple[float, ...]:
    """Returns the speedups over the vendor's case by round; () without such a case."""
    peer = find_peers(table, record.case).first if record.case.backend != "vendor" and is_timed(record) else None
    if not peer or not is_comparable(record, peer):
        return ()
    theirs = dict(zip(peer.rounds, peer.samples, strict=False))
    return tuple(theirs[number] / taken for number, taken in zip(record.rounds, record.samples, strict=False) if number in theirs)


def relate_to_vendor(run: Records) -> Records:
    """Returns a run whose samples are times divided by the vendor's in the same round; cases that the vendor lacks have none."""
    table = CaseIndex.from_records(run.cases)

    def relate(record: CaseRecord) -> CaseRecord:
        samples = [1 / ratio for ratio in ratios_by_round(record, table)]
        return record.model_copy(update={"samples": samples, "rounds": list(range(len(samples)))})

    return run.model_copy(update={"cases": [relate(record) for record in run.cases]})
