"""The comparison with the naive decider must notice faults: each is planted, and a random cluster must show it."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest
from naive_decider import allowed
from policy_worlds import ends_of, peer_of, random_cluster, snapshot_of

from kubenet_lab.objects.selectors import matches
from kubenet_lab.policy import decide
from kubenet_lab.policy import index as index_module
from kubenet_lab.policy import question as question_module

ASKED = ((80, "TCP"), (81, "TCP"), (80, "UDP"), (71, "TCP"))


def differs(cluster) -> bool:
    snapshot = snapshot_of(cluster)
    ends = [(e, peer_of(snapshot, e)) for e in ends_of(cluster)]
    return any(
        bool(decide(snapshot, a, b, port, protocol)) is not all(allowed(cluster, src, dst, port, protocol))
        for (src, a), (dst, b) in product(ends, ends)
        for port, protocol in ASKED
    )


def missing_key_fails_not_in(selector, labels):
    """What cyclonus does: NotIn is false where the key is missing."""
    return matches(selector, labels) and all(r.key in labels for r in selector.match_expressions if r.operator == "NotIn")


def empty_value_matches_missing(selector, labels):
    """What cyclonus does: a pair with an empty value holds where the key is missing."""
    wanted = selector.match_labels
    return matches(selector, {**labels, **{k: "" for k, v in wanted.items() if v == "" and k not in labels}})


def egress_always(policy):
    return True, True


def one_type_only(policy):
    types = policy.spec.policy_types
    return (True, bool(policy.spec.egress)) if not types else ("Ingress" in types, types == ["Egress"])


FAULTS = {
    "NotIn needs the key": (index_module, "matches", missing_key_fails_not_in),
    "empty value matches a missing label": (index_module, "matches", empty_value_matches_missing),
    "every policy isolates egress": (index_module, "types_in_force", egress_always),
    "Ingress hides Egress in policyTypes": (index_module, "types_in_force", one_type_only),
    "except is ignored": (index_module.IndexedPeer, "contains", lambda self, ip: self.block is not None and ip in self.block),
    "endPort is ignored": (
        index_module.IndexedPort, "holds", lambda self, t, p: t == self.protocol and self.name is None and self.low in (None, p),
    ),
    "protocol is ignored": (
        index_module.IndexedPort, "holds", lambda self, t, p: self.name is None and (self.low is None or self.low <= p <= self.high),
    ),
    "a podSelector alone means every namespace": (
        index_module.IndexedPeer, "_selects",
        lambda self, pod: (self.namespace_selector is None or matches(self.namespace_selector, pod.namespace_labels))
        and (self.pod_selector is None or matches(self.pod_selector, pod.pod.labels)),
    ),
    "peers are ANDed with nothing": (
        index_module.IndexedPeer, "_selects",
        lambda self, pod: (self.namespace_selector is not None and matches(self.namespace_selector, pod.namespace_labels))
        or (self.pod_selector is not None and pod.namespace == self.namespace and matches(self.pod_selector, pod.pod.labels)),
    ),
    "names are resolved on nobody": (index_module.PolicyIndex, "numbers", lambda self, pod, name, protocol: ()),
    "hostNetwork pods are pods": (question_module, "governed", lambda peer, engine: "" if hasattr(peer, "pod") else "policy.not_a_pod"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_shows(fault, monkeypatch):
    monkeypatch.setattr(*FAULTS[fault])
    index_module.policy_index.cache_clear()
    assert any(differs(random_cluster(Random(f"{fault} {i}"))) for i in range(400)), "400 random clusters did not show it"
