"""What listens in a pod: given, or assumed from container ports, probes and the target ports of Services.

That a containerPort is written down does not make anything listen, and leaving it out does not stop anything; so what
is not given is an assumption, and answers that hang on it say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..dns import CoreDns
from ..errors import CommandError, NotModelled, Problem
from ..ingress import HttpServer, IngressController
from ..kernel.namespace import Listener, Namespace
from ..kernel.process import Answer, Echo, Machine, Message, Process
from ..objects.snapshot import Snapshot
from ..objects.views import IngressClass, Pod, Service
from .names import owner_workload
from .options import listening_port

__all__ = ["LAB_CONTROLLER", "bind_pod", "is_dns_server", "is_ingress_controller"]

#: the spec.controller of an IngressClass that follows the API's text and nothing else
LAB_CONTROLLER = "kubenet-lab.dev/ingress"


def is_dns_server(pod: Pod) -> bool:
    return pod.labels.get("k8s-app") == "kube-dns" and any("coredns" in c.image or c.name == "coredns" for c in pod.spec.containers)


def is_ingress_controller(snapshot: Snapshot, pod: Pod) -> bool:
    """A pod that serves an IngressClass of the lab's own controller: told by its label app.kubernetes.io/component or name."""
    if not any(c.spec.controller == LAB_CONTROLLER for c in snapshot.list(IngressClass)):
        return False
    return pod.labels.get("app.kubernetes.io/name") == "ingress" or pod.labels.get("app.kubernetes.io/component") == "ingress-controller"


@dataclass(frozen=True, slots=True)
class Unmodelled:
    """A program whose answers the lab does not know. Connecting to it works, what it says is NotModelled."""

    what: str
    name: str = "unmodelled"

    def handle(self, message: Message, machine: Machine) -> Answer | None:
        raise NotModelled(self.what)


#: programs that are told by their image, on the ports where they speak: (part of the image, ports, what is not modelled)
_PROGRAMS: tuple[tuple[str, tuple[int, ...], str], ...] = (
    ("ingress-nginx/controller", (80, 443), "the ingress controller ingress-nginx"),
    ("nginx-ingress", (80, 443), "the ingress controller NGINX"),
    ("traefik", (80, 443, 8000, 8443), "the ingress controller Traefik"), ("haproxy-ingress", (80, 443), "the ingress controller HAProxy"),
    ("projectcontour/", (80, 443, 8080, 8443), "the ingress controller Contour"),
    ("kong/", (80, 443, 8000, 8443), "the ingress controller Kong"),
    ("k8s-dns-dnsmasq", (53,), "cluster DNS kube-dns (SkyDNS behind dnsmasq): CoreDNS is modelled"),
    ("k8s-dns-node-cache", (53,), "cluster DNS NodeLocal DNSCache: CoreDNS is modelled"),
)  # fmt: skip


def bind_pod(
    ns: Namespace,
    pod: Pod,
    snapshot: Snapshot,
    given: Mapping[str, Sequence[int | str]],
    current: Callable[[], Snapshot],
    corefile: Callable[[], str],
    upstreams: Callable[[Pod], Any],
    domain: str,
) -> list[Problem]:
    """Bind the pod's sockets in its namespace; gives what could not be bound. All containers of a pod share its ports."""
    problems: list[Problem] = []
    ports = _given(pod, snapshot, given)
    if ports is None:
        ports = list(_assumed(pod, snapshot))
        problems += _claimed_twice(pod)
    for protocol, port, why in ports:
        if protocol not in ("TCP", "UDP"):
            continue
        process = _process(pod, snapshot, protocol, port, current, corefile, upstreams, domain)
        try:
            ns.listen(Listener(protocol, port, process, pod.key, "", why))  # type: ignore[arg-type]
        except CommandError:
            # hostNetwork pods share the node's ports; the first one has it
            holder = ns.listener(protocol, "", port)
            whose = f" by {holder.owner}" if holder is not None and holder.owner != pod.key else ""
            text = f"{port}/{protocol} is taken{whose} in the network namespace of {ns.label}: bind fails, Address already in use"
            problems.append(Problem(text, "spec.hostNetwork" if pod.spec.host_network else "spec.containers", f"Pod {pod.key}"))
    return problems


def _claimed_twice(pod: Pod) -> list[Problem]:
    """Ports that two containers name. An API server takes that; the container that starts later cannot bind and crashes."""
    first: dict[tuple[str, int], str] = {}
    out = []
    for c in pod.spec.running_containers:
        for p in c.ports:
            other = first.setdefault((p.protocol, p.container_port), c.name)
            if other != c.name:
                text = f"containers {other} and {c.name} both name {p.container_port}/{p.protocol}: they share one network namespace"
                out.append(Problem(f"{text}, so the later one fails: Address already in use", "spec.containers", f"Pod {pod.key}"))
    return out


def _process(
    pod: Pod,
    snapshot: Snapshot,
    protocol: str,
    port: int,
    current: Callable[[], Snapshot],
    corefile: Callable[[], str],
    upstreams: Callable[[Pod], Any],
    domain: str,
) -> Process:
    for part, ports, what in _PROGRAMS:
        if port in ports and any(part in c.image for c in pod.spec.containers):
            return Unmodelled(what)
    if is_dns_server(pod) and port == 53:
        return CoreDns(current, corefile, lambda: upstreams(pod), domain)
    if protocol == "TCP" and port in (80, 443) and is_ingress_controller(snapshot, pod):
        return IngressController(current)
    return HttpServer(pod.key) if protocol == "TCP" else Echo()


def _given(pod: Pod, snapshot: Snapshot, given: Mapping[str, Sequence[int | str]]) -> list[tuple[str, int, str]] | None:
    """What `listening=` says of the pod or its workload: {"shop/web": [8080, "53/UDP"]}."""
    kind_name = owner_workload(snapshot, pod)
    for key in (pod.key, f"{pod.namespace}/{kind_name[1]}"):
        if key in given:
            return [(*listening_port(key, p), "") for p in given[key]]
    return None


def _assumed(pod: Pod, snapshot: Snapshot) -> Iterable[tuple[str, int, str]]:
    found: dict[tuple[str, int], str] = {}
    for c in pod.spec.running_containers:
        for p in c.ports:
            found.setdefault(
                (p.protocol, p.container_port),
                f"{pod.key} listens on {p.container_port}/{p.protocol}, because container {c.name} names it in ports",
            )
    for c in pod.spec.running_containers:
        for probe in ("readiness_probe", "liveness_probe", "startup_probe"):
            port = _probe_port(getattr(c, probe), pod)
            if port is not None:
                word = probe.replace("_p", "P")
                found.setdefault(("TCP", port), f"{pod.key} listens on {port}/TCP, because the {word} of container {c.name} asks there")
    for s in _selecting(snapshot, pod):
        if s.spec.type != "ExternalName":
            for sp in s.spec.ports:
                target = sp.target_port or sp.port
                if isinstance(target, int):
                    found.setdefault(
                        (sp.protocol, target),
                        f"{pod.key} listens on {target}/{sp.protocol}, because Service {s.key} sends its port {sp.port} there",
                    )
    return [(protocol, port, why) for (protocol, port), why in found.items()]


@lru_cache(maxsize=4)
def _by_selector(snapshot: Snapshot) -> dict[tuple[str, str, str], list[Service]]:
    """Services with a selector, by namespace and the first pair of it: so a pod looks at few of them."""
    found: dict[tuple[str, str, str], list[Service]] = {}
    for s in snapshot.list(Service):
        if s.spec.selector:
            found.setdefault((s.namespace, *min(s.spec.selector.items())), []).append(s)
    return found


def _selecting(snapshot: Snapshot, pod: Pod) -> list[Service]:
    """The Services that select a pod, by name."""
    index = _by_selector(snapshot)
    found = [
        s for k, v in pod.labels.items() for s in index.get((pod.namespace, k, v), ()) if s.spec.selector.items() <= pod.labels.items()
    ]
    return sorted(found, key=lambda s: s.name)


def _probe_port(probe: dict[str, Any] | None, pod: Pod) -> int | None:
    for how in ("httpGet", "tcpSocket", "grpc"):
        port = (probe or {}).get(how, {}).get("port") if isinstance((probe or {}).get(how), dict) else None
        if isinstance(port, int):
            return port
        if isinstance(port, str):
            return next((p.container_port for c in pod.spec.running_containers for p in c.ports if p.name == port), None)
    return None
