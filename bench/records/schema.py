"""The versions of a records file, and the translation of older lines to the current names."""

from typing import Any

from bench.records.backend_table import translate_name

SCHEMA = 5
"""2: A/A repeats, stop reasons, numerics, GPU conditions, wall time by activity. 3: versions of packages. 4: the backend `persistent`, and
the names below. 5: several builds of a case, what was planned, an end for every kind of run, how it was measured, baselines measured on the
test data. All older versions are read."""

CASE_NAMES = {"stands_for": "matched_params_of", "control": "aa_repeat"}
RECORD_NAMES = {"demand": "lower_bound", "work": "numerics"}
LOWER_BOUND_NAMES = {"held": "resident_bytes", "meetings": "grid_syncs"}
"""Field names of schemas 1 to 3 and those of today: of a case, of its record, and of its lower bound."""
EXPECTED = ("always 1", "chance")
"""Baselines that schemas 1 to 4 did not measure on the test data."""


def rename_fields(fields: Any, names: dict[str, str]) -> Any:
    """Returns a JSON object with current field names; any other value unchanged."""
    return {names.get(key, key): value for key, value in fields.items()} if isinstance(fields, dict) else fields


def upgrade_line(line: dict[str, Any]) -> dict[str, Any]:
    """Returns a line of schemas 1 to 4 in schema 5. Malformed fields stay, for the validation to report."""
    line = dict(line)
    if line.get("kind") == "case":
        line = rename_fields(line, RECORD_NAMES)
        line["case"] = upgrade_backend(rename_fields(line.get("case"), CASE_NAMES))
        if "lower_bound" in line:
            line["lower_bound"] = rename_fields(line["lower_bound"], LOWER_BOUND_NAMES)
    known = line.get("baselines") if line.get("kind") == "training" else None
    if isinstance(known, dict):
        line["baselines"] = {name: value for name, value in known.items() if name not in EXPECTED}
        line["expected"] = {name: value for name, value in known.items() if name in EXPECTED}
    settings = line.get("settings") if line.get("kind") == "run" else None
    if isinstance(settings, dict) and isinstance(settings.get("backends"), list):
        backends = [translate_name(name) if isinstance(name, str) else name for name in settings["backends"]]
        line["settings"] = {**settings, "backends": backends}
    return upgrade_backend(line)


def upgrade_backend(fields: Any) -> Any:
    """Returns a JSON object with the current name of its backend."""
    if isinstance(fields, dict) and isinstance(fields.get("backend"), str):
        return {**fields, "backend": translate_name(fields["backend"])}
    return fields
