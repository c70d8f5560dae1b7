"""The releases that are modelled. Every oracle and notebook prints from this table."""

from __future__ import annotations

__all__ = ["MODELLED"]

MODELLED: dict[str, str] = {
    "kubernetes": "1.34",
    "linux": "6.18",
    "iptables": "1.8.9",
    "cni-spec": "1.1.0",
    "cni-plugins": "1.1.1",
    "flannel": "0.27",
    "coredns": "1.14.2",
    "kube-router": "2.5",
    "glibc": "2.36",
    "ingress": "networking.k8s.io/v1",
}
