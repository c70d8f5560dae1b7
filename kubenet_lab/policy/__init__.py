"""NetworkPolicy: who may talk to whom, who enforces it, and the rules it becomes on a node."""

from __future__ import annotations

from .decide import DirectionDecision, PolicyDecision, RuleMatch, decide
from .engines import ENGINES, Engine, PolicyEngine, engine_for, engine_named
from .kube_router import CompiledPolicy
from .kube_router import rules as kube_router_rules_for
from .peers import ExternalPeer, NodePeer, Peer, PodPeer, node_peer, peer_at, pod_peer, pod_peers

__all__ = [
    "ENGINES", "CompiledPolicy", "DirectionDecision", "Engine", "ExternalPeer", "NodePeer", "Peer", "PodPeer", "PolicyDecision",
    "PolicyEngine", "RuleMatch", "decide", "engine_for", "engine_named", "kube_router_rules_for", "node_peer", "peer_at", "pod_peer",
    "pod_peers",
]  # fmt: skip
