"""What can be wrong in the bookshop: faults as data, and which of them a seed chooses."""

from __future__ import annotations

import hashlib
from typing import Any

from ..exercises.clusters import bookshop as of_its_own
from .fault import Fault
from .of_objects import FAULTS as OF_OBJECTS
from .of_state import FAULTS as OF_STATE

__all__ = ["FAULTS", "bookshop", "chosen"]

FAULTS: tuple[Fault, ...] = (*OF_OBJECTS, *OF_STATE)

#: what the bookshop's programs listen on, whatever a Service says
LISTENING = {"shop/web": [8080], "shop/api": [8080], "shop/cart": [8080], "data/db": [5432], "data/cache": [6379]}


def bookshop(fault: Fault, *, planted: bool = True) -> Any:
    """The bookshop of a fault: as it was, or with the fault in it."""
    cluster = of_its_own(listening=LISTENING)
    for edit in (*fault.stage, *(fault.plant if planted else ())):
        edit.make(cluster)
    return cluster


def chosen(seed: int) -> Fault:
    """The fault of a seed. A fault that comes later changes what few seeds choose: each fault draws for itself, the highest wins."""
    return max(FAULTS, key=lambda f: hashlib.sha256(f"{seed}:{f.id}".encode()).digest())
