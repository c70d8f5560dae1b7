"""The cluster: applies objects, lets the chapters program nodes, answers questions."""

from __future__ import annotations

from .cluster import Cluster
from .load import example, load
from .options import Kubelet
from .underlay import Underlay

__all__ = ["Cluster", "Kubelet", "Underlay", "example", "load"]
