"""Faults in what somebody declared: a Service, a workload, a pod that is not ready."""

from __future__ import annotations

from .fault import Fault, Patch, Readiness, Scale, Symptom

__all__ = ["FAULTS"]

_NAME = "app.kubernetes.io/name"
_CART = Symptom("ask", ("shop/web", "http://cart:8080"))
_API = Symptom("ask", ("shop/web", "http://api:8080"))
_CACHE = Symptom("connect", ("shop/api", "svc:data/cache"), {"port": 6379})
_READ = Symptom("connect", ("shop/api", "svc:data/db-read"), {"port": 5432})
_SHOP = "Customers see the shop's pages, but "

FAULTS: tuple[Fault, ...] = (
    Fault(
        "selector-typo", "Service shop/cart", ("spec.selector", "selector"),
        f"{_SHOP}their baskets are gone.",
        "The Service's selector asked for a label that no pod carries, so it had no endpoints, and each node refused its address.",
        (Patch("Service", "shop/cart", ("spec", "selector", _NAME), "kart"),),
        (Patch("Service", "shop/cart", ("spec", "selector", _NAME), "cart"),),
        _CART,
    ),
    Fault(
        "wrong-target-port", "Service shop/api", ("spec.ports[0].targetPort", "targetPort"),
        f"{_SHOP}no page shows a price.",
        "The Service sent its traffic to a port of the pods where nothing listens: the pods' own kernel refused it.",
        (Patch("Service", "shop/api", ("spec", "ports", 0, "targetPort"), 8081),),
        (Patch("Service", "shop/api", ("spec", "ports", 0, "targetPort"), 8080),),
        _API,
    ),
    Fault(
        "wrong-named-port", "Service shop/web", ("spec.ports[0].targetPort", "targetPort"),
        "The jobs cannot fetch the shop's front page. Customers can.",
        "The targetPort named a port that no container has, so the pods became endpoints without this port.",
        (Patch("Service", "shop/web", ("spec", "ports", 0, "targetPort"), "htpp"),),
        (Patch("Service", "shop/web", ("spec", "ports", 0, "targetPort"), "http"),),
        Symptom("ask", ("ops/jobs", "http://web.shop")),
    ),
    Fault(
        "wrong-service-port", "Service shop/cart", ("spec.ports[0].port", "port"),
        f"{_SHOP}their baskets take forever to open.",
        "The Service offered another port than its clients ask for. For an unused port of a ClusterIP there is no rule: the packet strays.",
        (Patch("Service", "shop/cart", ("spec", "ports", 0, "port"), 80),),
        (Patch("Service", "shop/cart", ("spec", "ports", 0, "port"), 8080),),
        _CART,
    ),
    Fault(
        "wrong-protocol", "Service data/db-read", ("spec.ports[0].protocol", "protocol"),
        "The reports that only read the database do not come to an end.",
        "The Service's port was UDP, its clients speak TCP. Rules are written for one protocol each.",
        (Patch("Service", "data/db-read", ("spec", "ports", 0, "protocol"), "UDP"),),
        (Patch("Service", "data/db-read", ("spec", "ports", 0, "protocol"), "TCP"),),
        _READ,
    ),
    Fault(
        "unready-pod", "Pod data/cache", ("status.conditions", "ready", "readiness", "readinessProbe"),
        f"{_SHOP}everything has become slow since the cache is not used.",
        "The only pod behind the Service was not ready. It ran and had an address, but its endpoint got no traffic.",
        (Readiness("data/cache", False),),
        (Readiness("data/cache", True),),
        _CACHE,
    ),
    Fault(
        "local-without-endpoint", "Service shop/web-public", ("spec.externalTrafficPolicy", "externalTrafficPolicy"),
        "Half of the customers see no shop at all: the address they were given is that of one node, others got another's.",
        "externalTrafficPolicy Local keeps outside traffic on the node where it enters. One node had no pod of the shop, and dropped it.",
        (Patch("Service", "shop/web-public", ("spec", "externalTrafficPolicy"), "Local"),),
        (Patch("Service", "shop/web-public", ("spec", "externalTrafficPolicy"), "Cluster"),),
        Symptom("connect", ("external:203.0.113.7", "node:worker-1"), {"port": 30080}),
        stage=(Scale("shop/web", 1),),
    ),
    Fault(
        "internal-local", "Service shop/cart", ("spec.internalTrafficPolicy", "internalTrafficPolicy"),
        f"{_SHOP}some of them never reach their basket, as if the basket lived on another planet.",
        "internalTrafficPolicy Local lets a node use only its own endpoints. The one basket ran on the other node.",
        (Patch("Service", "shop/cart", ("spec", "internalTrafficPolicy"), "Local"),),
        (Patch("Service", "shop/cart", ("spec", "internalTrafficPolicy"), "Cluster"),),
        Symptom("connect", ("node:worker-1", "svc:shop/cart"), {"port": 8080}),
    ),
    Fault(
        "no-dns", "Deployment kube-system/coredns", ("spec.replicas", "replicas"),
        "Nothing finds anything any more.",
        "No pod answered DNS queries. Every address still worked; only names did not.",
        (Scale("kube-system/coredns", 0),),
        (Scale("kube-system/coredns", 2),),
        _CART,
    ),
    Fault(
        "no-pods", "Deployment shop/api", ("spec.replicas", "replicas"),
        f"{_SHOP}there is not one book in them.",
        "The workload had been scaled to nothing. Its Service was in order, and had nobody to send to.",
        (Scale("shop/api", 0),),
        (Scale("shop/api", 2),),
        _API,
    ),
)  # fmt: skip
