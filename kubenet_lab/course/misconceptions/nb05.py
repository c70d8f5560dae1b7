"""The wrong ideas that notebook 05 meets."""

from __future__ import annotations

from ..misconception import Misconception

__all__ = ["MISCONCEPTIONS"]

_NOTEBOOK = "05_mtu_black_holes.ipynb"

MISCONCEPTIONS: tuple[Misconception, ...] = (
    Misconception(
        "same-mtu-everywhere",
        "The pods have the MTU of the wire.",
        "Over a tunnel they have less: the tunnel's headers travel in the wire's packet too.",
        _NOTEBOOK,
        "How big may a packet be?",
    ),
    Misconception(
        "ping-size-is-packet-size",
        "ping -s N sends a packet of N bytes.",
        "It sends N bytes behind two headers. The packet has 28 bytes more, over IPv4.",
        _NOTEBOOK,
        "Try a size",
    ),
    Misconception(
        "ping-has-one-header",
        "Only the IP header comes on top of what is sent.",
        "ICMP has a header of 8 bytes too, and TCP one of 20 at least.",
        _NOTEBOOK,
        "Try a size",
    ),
    Misconception(
        "tunnel-counts-twice",
        "From the MTU of the tunnel's device one must take the tunnel's headers away.",
        "The device's MTU is what it takes from above. Its own headers come on top of it.",
        _NOTEBOOK,
        "How big may a packet be?",
    ),
    Misconception(
        "big-packets-are-cut",
        "A packet that is too big is cut into pieces on the way, or the program gets an error.",
        "With DF, as TCP sends, a router drops it and says so by ICMP. TCP then sends smaller segments, and the program hears nothing.",
        _NOTEBOOK,
        "Something narrow on the way",
    ),
    Misconception(
        "ping-works-so-all-is-well",
        "Ping works, so the network is fine.",
        "A ping is small, and so is the handshake. What fills a packet may still be lost.",
        _NOTEBOOK,
        "The black hole",
    ),
    Misconception(
        "black-hole-closes-the-door",
        "When the MTU is wrong, no connection opens.",
        "It opens, since its first packets are small. Then the data is lost.",
        _NOTEBOOK,
        "The black hole",
    ),
    Misconception(
        "nothing-big-passes",
        "Behind a narrow link every connection hangs.",
        "Only where a packet is too big and nobody may say so. Small answers pass, and a sender that is told sends less at a time.",
        _NOTEBOOK,
        "The black hole",
    ),
    Misconception(
        "clamping-cuts-packets",
        "Clamping the MSS cuts packets down on the way.",
        "It changes a number in the first packet of a connection. From then on the ends send less at a time.",
        _NOTEBOOK,
        "Two repairs",
    ),
)
