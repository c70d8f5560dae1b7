"""What is installed on machines beside the kernel's tools: programs that ask names and fetch pages, and the files that agents keep."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from ...kernel.shell.shell import Tool
from .curl import curl
from .dig import dig
from .getent import getent
from .hostname import hostname
from .machine import Machine, files_of
from .nslookup import host, nslookup
from .wget import wget

if TYPE_CHECKING:
    from ..cluster import Cluster
    from ..views import NodeView, PodView

__all__ = ["files_of", "programs_of"]


def programs_of(cluster: Cluster, view: NodeView | PodView) -> Mapping[str, Tool]:
    """The programs by name, as they run on one machine."""
    machine = Machine(cluster, view)
    found = {"curl": curl, "wget": wget, "dig": dig, "nslookup": nslookup, "host": host, "getent": getent, "hostname": hostname}
    return {name: partial(program, machine) for name, program in found.items()}
