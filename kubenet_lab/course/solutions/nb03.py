"""Solutions of notebook 03."""

from __future__ import annotations

__all__ = ["ANSWERS"]

ANSWERS = {
    "03.a": "0",
    "03.b": '"timeout"',
    "03.1": 'next(a.address for a in kn.example("bookshop").get("Node", "worker-2").status.addresses if a.type == "InternalIP")',
    "03.2": '"timeout"',
    # the outer packet of the tunnel goes to the other node
    "03.3": 'next(a.address for a in kn.example("bookshop").get("Node", "worker-2").status.addresses if a.type == "InternalIP")',
    "03.4": "5 - 1",
}
