"""The versions of a records file, and how lines of an older one are read with the names of today."""

from typing import Any

from bench.records.backend_table import current_name

SCHEMA = 4
"""2: A/A repeats, stop reasons, numerics, conditions on a GPU, where the time went. 3: the versions of packages that take part. 4: the
backend `persistent`, and the names below. All older ones are read."""

CASE_NAMES = {"stands_for": "matched_params_of", "control": "aa_repeat"}
RECORD_NAMES = {"demand": "lower_bound", "work": "numerics"}
LOWER_BOUND_NAMES = {"held": "resident_bytes", "meetings": "grid_syncs"}
"""Field names of schemas 1 to 3 and those of today: of a case, of its record, and of its lower bound."""


def rename(fields: Any, names: dict[str, str]) -> Any:
    """Return a JSON object with the names of today; anything else as it is."""
    return {names.get(key, key): value for key, value in fields.items()} if isinstance(fields, dict) else fields


def upgrade(line: dict[str, Any]) -> dict[str, Any]:
    """Return a line of schema 1, 2 or 3 as schema 4 has it. Fields that are malformed stay so, for the validation to report."""
    line = dict(line)
    if line.get("kind") == "case":
        line = rename(line, RECORD_NAMES)
        line["case"] = upgrade_backend(rename(line.get("case"), CASE_NAMES))
        if "lower_bound" in line:
            line["lower_bound"] = rename(line["lower_bound"], LOWER_BOUND_NAMES)
    settings = line.get("settings") if line.get("kind") == "run" else None
    if isinstance(settings, dict) and isinstance(settings.get("backends"), list):
        backends = [current_name(name) if isinstance(name, str) else name for name in settings["backends"]]
        line["settings"] = {**settings, "backends": backends}
    return upgrade_backend(line)


def upgrade_backend(fields: Any) -> Any:
    """Return a JSON object whose backend has the name of today."""
    if isinstance(fields, dict) and isinstance(fields.get("backend"), str):
        return {**fields, "backend": current_name(fields["backend"])}
    return fields
