"""How one packet leaves its node under several pod networks: what CniLab's second half shows."""

from __future__ import annotations

from typing import Any

from ..cni import Flannel
from ..errors import KubenetError
from ..explain import summary
from .view import header_stack

__all__ = ["MODES", "mode_view", "modes"]

#: value, label
MODES: tuple[tuple[str, str], ...] = (
    ("vxlan", "VXLAN"),
    ("direct", "DirectRouting"),
    ("host-gw", "host-gw"),
    ("routed", "routed (Calico)"),
)


def _network(mode: str) -> Any:
    if mode == "routed":
        return "calico"
    return Flannel(backend="host-gw") if mode == "host-gw" else Flannel(direct_routing=mode == "direct")


def modes() -> list[list[str]]:
    """The modes that can be shown: [value, label]."""
    from ..cluster.networks import NAMES

    return [[value, label] for value, label in MODES if value != "routed" or "calico" in NAMES]


def _ends(cluster: Any) -> tuple[Any, Any]:
    """A pod on each of two nodes, both listening."""
    pods = [p for p in cluster.objects("Pod") if p.ips and not p.spec.host_network and any(c.ports for c in p.spec.containers)]
    first = pods[0]
    second = next((p for p in pods if p.spec.node_name != first.spec.node_name), None)
    if second is None:
        raise KubenetError("the modes differ between nodes only: this cluster has pods on one node")
    return first, second


def mode_view(cluster: Any, mode: str, apart: bool) -> dict[str, Any]:
    """What the wire carries of one packet between two nodes in this mode; `apart`: the nodes stand on two segments with a router between.

    Works on a copy. {"label", "ok", "said", "question", "mtu", "route", "headers", "error"}.
    """
    label = dict(MODES)[mode]
    empty: dict[str, Any] = {
        "mode": mode, "label": label, "ok": False, "said": "", "question": "", "mtu": 0, "route": "", "headers": None, "error": "",
    }  # fmt: skip
    try:
        src, dst = _ends(cluster)
        nodes = [n.name for n in cluster.objects("Node")]
        options: dict[str, Any] = {"cni": _network(mode), "policy": None}
        if apart:
            far = [n for n in nodes if n != src.spec.node_name]
            near = {"cidr": "192.168.50.0/24", "nodes": [src.spec.node_name]}
            options["underlay"] = {"segments": {"rack-a": near, "rack-b": {"cidr": "192.168.51.0/24", "nodes": far}}}
        changed = cluster.copy(**options)
        port = next(p.container_port for c in dst.spec.containers for p in c.ports)
        trace = changed.preview(f"pod/{src.key}", f"pod/{dst.key}", port=port)
        crossing = next((h for h in trace.hops if h.code == "wire.cross"), None)
        last = crossing or (trace.hops[-1] if trace.hops else None)
        route = next(
            (h.entry.text for h in reversed(trace.hops) if h.entry and h.entry.kind == "route" and h.host == src.spec.node_name), ""
        )
        links = changed.pod(f"pod/{src.key}").links()
        mtu = int(links[links.ifname == "eth0"].mtu.iloc[0])
    except KubenetError as e:
        return {**empty, "error": str(e)}
    return {
        **empty, "ok": bool(trace), "said": summary(trace), "question": trace.question, "mtu": mtu, "route": route,
        "headers": header_stack(last) if last is not None else None,
    }  # fmt: skip
