"""Solutions of notebook 00."""

from __future__ import annotations

__all__ = ["ANSWERS"]

ANSWERS = {
    "00.a": '"timeout"',
    # on the wire, the last IP header is the inner packet's
    "00.1": (
        '[header.get("dst") for hop in kn.example("bookshop").connect("shop/web", "svc:shop/cart", port=8080).hops '
        'if hop.device == "eth0" and hop.added == 0 for header in hop.after if header.name == "IPv4"][1]'
    ),
    # outer IPv4 + UDP + VXLAN + inner Ethernet
    "00.2": "1000 + 20 + 8 + 8 + 14",
    "00.3": '"timeout"',
}
