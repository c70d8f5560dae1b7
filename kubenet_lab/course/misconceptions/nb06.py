"""The wrong ideas that notebook 06 meets."""

from __future__ import annotations

from ..misconception import Misconception

__all__ = ["MISCONCEPTIONS"]

_NOTEBOOK = "06_selectors_and_ports.ipynb"

MISCONCEPTIONS: tuple[Misconception, ...] = (
    Misconception(
        "selector-is-or",
        "A pod belongs to a Service if it carries one of the selector's labels.",
        "It must carry every pair of the selector. Further labels do not matter.",
        _NOTEBOOK,
        "A question, not a list",
    ),
    Misconception(
        "service-finds-by-name",
        "A Service finds its pods by their name, or by that of their Deployment.",
        "It finds them by labels. A pod of any name that carries them is an endpoint, and no other.",
        _NOTEBOOK,
        "A question, not a list",
    ),
    Misconception(
        "endpoint-per-workload",
        "A Deployment is one endpoint of its Service.",
        "Every pod is one. The list holds addresses of pods, and knows nothing of Deployments.",
        _NOTEBOOK,
        "The list",
    ),
    Misconception(
        "unready-is-stopped",
        "A pod that is not ready does not run, or cannot be reached.",
        "It runs and answers at its own address. Only the Services that select it send it no new connections.",
        _NOTEBOOK,
        "Ready or not",
    ),
    Misconception(
        "unready-still-gets-traffic",
        "Readiness only reports: pods that are not ready get their share of connections.",
        "Unless the Service says otherwise, no new connection goes to a running pod that is not ready.",
        _NOTEBOOK,
        "Ready or not",
    ),
    Misconception(
        "unready-never-gets-traffic",
        "A pod that is not ready never gets a connection through a Service.",
        "With publishNotReadyAddresses the Service counts every endpoint as ready.",
        _NOTEBOOK,
        "Ready or not",
    ),
    Misconception(
        "no-endpoints-hang",
        "A Service without endpoints makes its clients wait.",
        "The client's own node knows that the list is empty, and refuses at once.",
        _NOTEBOOK,
        "When nobody is left",
    ),
    Misconception(
        "selector-crosses-namespaces",
        "A Service selects pods in all namespaces.",
        "It selects in its own namespace only. Clients may come from any.",
        _NOTEBOOK,
        "When nobody is left",
    ),
    Misconception(
        "port-is-target-port",
        "port, targetPort and containerPort are one number.",
        "Clients write the Service's port. A rule puts the targetPort in its place, a number or the name of one in the pod.",
        _NOTEBOOK,
        "Three numbers",
    ),
    Misconception(
        "node-port-is-on-the-way",
        "A packet to a ClusterIP passes the node port.",
        "A node port is another door to the same endpoints, for packets that are sent to a node.",
        _NOTEBOOK,
        "Three numbers",
    ),
    Misconception(
        "endpoints-mean-it-works",
        "A Service that has endpoints works.",
        "The list says who is ready and which number was written down. Whether somebody listens there, only the pod's kernel finds out.",
        _NOTEBOOK,
        "Three numbers",
    ),
    Misconception(
        "leaving-never-gets-traffic",
        "A pod that was told to stop gets no new connection.",
        "While no endpoint is ready, kube-proxy falls back to those that leave and still serve.",
        _NOTEBOOK,
        "A pod that leaves",
    ),
)
