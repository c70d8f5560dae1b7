"""The cluster: applies objects, lets the chapters program nodes, answers questions."""

from __future__ import annotations

from .cluster import Cluster
from .filters import Allow, Deny, SecurityGroup
from .load import example, load
from .options import Kubelet
from .underlay import Underlay

__all__ = ["Allow", "Cluster", "Deny", "Kubelet", "SecurityGroup", "Underlay", "example", "load"]
