"""`load` and `example`: from manifests, dumps or a shipped dataset to a cluster."""

from __future__ import annotations

from typing import Any

from ..objects.examples import example_path, examples
from .cluster import Cluster
from .options import Options

__all__ = ["example", "load"]


def load(source: Any, **options: Any) -> Cluster:
    """A cluster from objects.

    `source`: a path, folder, glob, YAML or JSON text, a dict, a list of these, or `kubectl get ... -o yaml|json`.
    Options (what "auto" means is detected from the objects, else the default): `nodes=2` (how many, if the objects have none),
    `cni="auto"`, `proxy="auto"`, `dns="auto"`, `policy="auto"`, `load_balancer="auto"`, `seed=0`, `strict=None`, `listening=None`
    ({"shop/web": [8080, "53/UDP"]}), `kubernetes="1.34"`, `pod_cidr=None`, `service_cidr=None`, `node_cidr=None`,
    `node_ports=None` ("30000-32767"), `max_endpoints_per_slice=None` (100, as kube-controller-manager's option of that name),
    `domain="cluster.local"`, `ip_families=("IPv4",)`, `kubelet=None`, `underlay=None` (kn.Underlay: segments, router, MTUs).
    Raises LoadError with everything that is wrong with the input.
    """
    cluster = Cluster(Options.of(**options))
    cluster.apply(source)
    return cluster


def example(name: str | None = None, **options: Any) -> Any:
    """A shipped dataset as a cluster: `example("bookshop")`. Without a name: the names there are."""
    if name is None:
        return examples()
    return load(example_path(name) / "manifests", **options)
