"""The CoreDNS addon as documents: what `kubeadm` installs, as far as it shapes the network.

Source: kubernetes cmd/kubeadm/app/phases/addons/dns/manifests.go (CoreDNSDeployment, CoreDNSConfigMap, CoreDNSService)
of Kubernetes 1.34; ServiceAccount, roles, resources and probes' timings are left out.
"""

from __future__ import annotations

from typing import Any

from ..versions import MODELLED
from .corefile import shipped

__all__ = ["NAMESPACE", "addon"]

NAMESPACE = "kube-system"
_LABELS = {"k8s-app": "kube-dns"}


def addon(domain: str, cluster_dns_ip: str, replicas: int = 2, corefile: str | None = None) -> list[dict[str, Any]]:
    """ConfigMap coredns, Deployment coredns, Service kube-dns. `cluster_dns_ip` is the Service's clusterIP (the tenth by custom)."""
    return [_config_map(shipped(domain) if corefile is None else corefile), _deployment(replicas), _service(cluster_dns_ip)]


def _config_map(corefile: str) -> dict[str, Any]:
    metadata = {"name": "coredns", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"Corefile": corefile}}


def _deployment(replicas: int) -> dict[str, Any]:
    container = {
        "name": "coredns",
        "image": f"coredns/coredns:{MODELLED['coredns']}",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [
            {"containerPort": 53, "name": "dns", "protocol": "UDP"},
            {"containerPort": 53, "name": "dns-tcp", "protocol": "TCP"},
            {"containerPort": 9153, "name": "metrics", "protocol": "TCP"},
            {"containerPort": 8080, "name": "liveness-probe", "protocol": "TCP"},
            {"containerPort": 8181, "name": "readiness-probe", "protocol": "TCP"},
        ],
        "livenessProbe": {"httpGet": {"path": "/health", "port": "liveness-probe", "scheme": "HTTP"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "readiness-probe", "scheme": "HTTP"}},
        "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/coredns", "readOnly": True}],
    }
    affinity = {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{
                "weight": 100,
                "podAffinityTerm": {
                    "labelSelector": {"matchExpressions": [{"key": "k8s-app", "operator": "In", "values": ["kube-dns"]}]},
                    "topologyKey": "kubernetes.io/hostname",
                },
            }]
        }
    }  # fmt: skip
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "coredns", "namespace": NAMESPACE, "labels": dict(_LABELS)},
        "spec": {
            "replicas": replicas,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "selector": {"matchLabels": dict(_LABELS)},
            "template": {
                "metadata": {"labels": dict(_LABELS)},
                "spec": {
                    "priorityClassName": "system-cluster-critical",
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "tolerations": [
                        {"key": "CriticalAddonsOnly", "operator": "Exists"},
                        {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
                    ],
                    "affinity": affinity,
                    "containers": [container],
                    "dnsPolicy": "Default",
                    "volumes": [
                        {"name": "config-volume", "configMap": {"name": "coredns", "items": [{"key": "Corefile", "path": "Corefile"}]}}
                    ],
                },
            },
        },
    }  # fmt: skip


def _service(cluster_ip: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "kube-dns", "namespace": NAMESPACE,
            "annotations": {"prometheus.io/port": "9153", "prometheus.io/scrape": "true"},
            "labels": {**_LABELS, "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"},
        },
        "spec": {
            "clusterIP": cluster_ip,
            "selector": dict(_LABELS),
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
                {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
            ],
        },
    }  # fmt: skip
