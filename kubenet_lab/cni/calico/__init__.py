"""Calico as a routed network: options, IPAM, the CNI plugins, what Felix and BIRD leave on a node."""

from __future__ import annotations

from . import bird, felix
from .conflist import conflist, node_files
from .ipam import REGISTRY, Datastore, Ipam
from .options import Calico, IpPool
from .plugin import CalicoIpam, CalicoPlugin

__all__ = ["REGISTRY", "Calico", "CalicoIpam", "CalicoPlugin", "Datastore", "IpPool", "Ipam", "bird", "conflist", "felix", "node_files"]
