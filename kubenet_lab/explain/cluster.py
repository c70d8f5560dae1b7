"""Words for what only the whole cluster knows."""

from __future__ import annotations

from .phrase import Phrase, documented

__all__ = ["PHRASES"]

PHRASES: dict[str, Phrase] = {
    "cluster.policy_not_enforced": Phrase(
        "nobody enforces the policies", "By the text of NetworkPolicy {policies} this connection is not allowed. It works all the same: {network} enforces no policy, "
        "so the objects change nothing.", "kubectl get networkpolicy -A", documented("Kubernetes documentation, Network Policies, Prerequisites; flannel README"),
    ),
    "cluster.unresolved": Phrase(
        "{name} does not resolve", "The resolver gives up on {name} with {error}: there is no address to connect to.", "getent hosts {name}", documented("getaddrinfo(3)"),
    ),
}  # fmt: skip
