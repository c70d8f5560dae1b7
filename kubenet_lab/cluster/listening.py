"""What listens in a pod: given, or assumed from container ports, probes and the target ports of Services.

That a containerPort is written down does not make anything listen, and leaving it out does not stop anything; so what
is not given is an assumption, and answers that hang on it say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..dns import CoreDns
from ..errors import CommandError, KubenetError
from ..ingress import HttpServer, IngressController
from ..kernel.namespace import Listener, Namespace
from ..kernel.process import Echo, Process
from ..objects.snapshot import Snapshot
from ..objects.views import IngressClass, Pod, Service
from .names import owner_workload

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


def bind_pod(
    ns: Namespace, pod: Pod, snapshot: Snapshot, given: Mapping[str, Sequence[int | str]], current: Callable[[], Snapshot],
    corefile: Callable[[], str], upstreams: Callable[[Pod], Any], domain: str,
) -> None:
    """Bind the pod's sockets in its namespace."""
    ports = _given(pod, snapshot, given)
    if ports is None:
        ports = list(_assumed(pod, snapshot))
    for protocol, port, why in ports:
        if protocol not in ("TCP", "UDP"):
            continue
        process = _process(pod, snapshot, protocol, port, current, corefile, upstreams, domain)
        try:
            ns.listen(Listener(protocol, port, process, pod.key, "", why))  # type: ignore[arg-type]
        except CommandError:
            continue  # hostNetwork pods share the node's ports; the first one has it


def _process(
    pod: Pod, snapshot: Snapshot, protocol: str, port: int, current: Callable[[], Snapshot], corefile: Callable[[], str],
    upstreams: Callable[[Pod], Any], domain: str,
) -> Process:
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
            return [(*_port(key, p), "") for p in given[key]]
    return None


def _port(key: str, text: int | str) -> tuple[str, int]:
    number, _, protocol = str(text).partition("/")
    if not number.isdigit() or not 1 <= int(number) <= 65535 or (protocol or "TCP").upper() not in ("TCP", "UDP", "SCTP"):
        raise KubenetError(f'listening[{key!r}]: found {text!r}, expected a port such as 8080 or "53/UDP"')
    return (protocol or "TCP").upper(), int(number)


def _assumed(pod: Pod, snapshot: Snapshot) -> Iterable[tuple[str, int, str]]:
    found: dict[tuple[str, int], str] = {}
    for c in pod.spec.containers:
        for p in c.ports:
            found.setdefault((p.protocol, p.container_port), f"{pod.key} listens on {p.container_port}/{p.protocol}, because container {c.name} names it in ports")
    for c in pod.spec.containers:
        for probe in ("readiness_probe", "liveness_probe", "startup_probe"):
            port = _probe_port(getattr(c, probe), pod)
            if port is not None:
                word = probe.replace("_p", "P")
                found.setdefault(("TCP", port), f"{pod.key} listens on {port}/TCP, because the {word} of container {c.name} asks there")
    for s in snapshot.list(Service, pod.namespace):
        if s.spec.selector and all(pod.labels.get(k) == v for k, v in s.spec.selector.items()):
            for sp in s.spec.ports:
                target = sp.target_port or sp.port
                if isinstance(target, int):
                    found.setdefault((sp.protocol, target), f"{pod.key} listens on {target}/{sp.protocol}, because Service {s.key} sends its port {sp.port} there")
    return [(protocol, port, why) for (protocol, port), why in found.items()]


def _probe_port(probe: dict[str, Any] | None, pod: Pod) -> int | None:
    for how in ("httpGet", "tcpSocket", "grpc"):
        port = (probe or {}).get(how, {}).get("port") if isinstance((probe or {}).get(how), dict) else None
        if isinstance(port, int):
            return port
        if isinstance(port, str):
            return next((p.container_port for c in pod.spec.containers for p in c.ports if p.name == port), None)
    return None
