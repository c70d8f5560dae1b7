"""targetPort: the port of a pod that a Service port stands for.

Source: Kubernetes 1.34, staging/src/k8s.io/endpointslice/utils.go (FindPort).
"""

from __future__ import annotations

from collections.abc import Iterator

from ..objects.views import ContainerPort, Pod, ServicePort

__all__ = ["find_port", "named_ports"]


def named_ports(pod: Pod) -> Iterator[ContainerPort]:
    """The named container ports that a targetPort can mean: of the containers, then of sidecars (restartPolicy Always)."""
    for container in pod.spec.running_containers:
        yield from (p for p in container.ports if p.name)


def find_port(pod: Pod, port: ServicePort) -> int | None:
    """The number, or None where the pod has no port of that name and protocol.

    A number stands for itself, whether or not a container declares it. Without a targetPort the API server puts `port` there.
    """
    target = port.target_port or port.port
    if isinstance(target, int):
        return target
    return next((p.container_port for p in named_ports(pod) if p.name == target and p.protocol == port.protocol), None)
