"""Host ports that cannot all work: claimed twice on one node, or by pods whose network maps none.

A scheduler keeps such pods apart; pods that name their node, and dumps, show them all the same.
Source: containernetworking/plugins plugins/meta/portmap/main.go, which reserves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..errors import Problem
from ..objects.views import ContainerPort, Pod

__all__ = ["host_port_problems"]


def _claims(pod: Pod) -> Iterator[ContainerPort]:
    yield from (p for c in pod.spec.containers for p in c.ports if p.host_port)


def _overlap(a: ContainerPort, b: ContainerPort) -> bool:
    everyone = ("", "0.0.0.0", "::")
    same = a.host_ip == b.host_ip or a.host_ip in everyone or b.host_ip in everyone
    return same and (a.protocol, a.host_port) == (b.protocol, b.host_port)


def host_port_problems(pods: Sequence[Pod]) -> list[Problem]:
    """Of the pods that run, in the order in which their networks were set up."""
    out = []
    claimed: dict[str, list[tuple[ContainerPort, Pod]]] = {}
    for pod in pods:
        if pod.spec.host_network:
            continue  # it binds the port itself; whether that works, its socket says
        there = claimed.setdefault(pod.spec.node_name, [])
        for port in _claims(pod):
            other = next((p for q, p in there if p is not pod and _overlap(port, q)), None)
            if other is not None:
                text = f"host port {port.host_port}/{port.protocol} of {pod.spec.node_name} is claimed by {other.key} too"
                out.append(Problem(f"{text}: the rule that was written first takes the traffic", "spec.containers.ports", f"Pod {pod.key}"))
            there.append((port, pod))
    return out
