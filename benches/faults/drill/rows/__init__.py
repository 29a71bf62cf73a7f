"""The rows of the table. Each module has `TITLE` and `cases(small)`."""

from __future__ import annotations

from types import ModuleType

from . import blame, deploy, endpoint, goaway, idle, names, overload, restart, shortage, vendor

ALL: dict[int, ModuleType] = {
    1: deploy, 2: idle, 3: goaway, 4: names, 5: blame, 6: vendor, 7: restart, 8: endpoint, 9: shortage,
    10: overload,
}
# What CI runs, and fails on.
COUNTED = (1, 2, 3, 5)
