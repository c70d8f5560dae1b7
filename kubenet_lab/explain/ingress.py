"""Words for the ingress chapter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .phrase import Phrase, documented, upstream

if TYPE_CHECKING:
    from ..ingress.route import RouteDecision
    from .story import Story

__all__ = ["PHRASES", "explain_route"]

API = documented("networking.k8s.io/v1, types.go")
PAGE = documented("Kubernetes documentation, Ingress: path types and hostname wildcards")
KEP = documented("KEP-1453, path matching semantics")
ADMISSION = upstream("kubernetes plugin/pkg/admission/network/defaultingressclass/admission.go")
CLASS_TEST = upstream("ingress-controller-conformance features/ingress_class.feature")
RULES_TEST = upstream("ingress-controller-conformance features/path_rules.feature and host_rules.feature")
NGINX = upstream("kubernetes/ingress-nginx internal/ingress/controller")
OPEN = "The API leaves this to the controller: engines differ."


def _lost_path(p: Mapping[str, Any]) -> str:
    if p["path_type"] == "Exact":
        return f"the path {p['request_path']} is not exactly {p['path']}"
    if p.get("similar"):
        return f"a Prefix is compared element by element, and {p['path']} is not made of the first elements of {p['request_path']}"
    return f"{p['request_path']} does not begin with the elements of {p['path']}"


PHRASES: dict[str, Phrase] = {
    # the choice
    "ingress.rule": Phrase(
        "{ingress} sends it to {backend}",
        "The Ingress {ingress} has a rule for {host}; its path {path} ({path_type}) matches {request_path}, so {backend} answers.",
        "kubectl describe ingress -A",
        RULES_TEST,
    ),
    "ingress.default-only": Phrase(
        "{ingress} takes everything",
        "The Ingress {ingress} has a default backend and no rules: all traffic goes to {backend}.",
        "kubectl describe ingress -A",
        upstream("ingress-controller-conformance features/default_backend.feature"),
    ),
    "ingress.default-backend": Phrase(
        "no rule matches; {ingress} has a default backend",
        "No rule matches {host}{path}, so the default backend of the Ingress {ingress} takes the request: {backend}.",
        "kubectl describe ingress -A",
        API,
    ),
    "ingress.no-ingress": Phrase(
        "404: no Ingress is served",
        "No Ingress object is served here, so the controller has no rules and answers 404 itself.",
        "kubectl get ingress,ingressclass -A",
        API,
    ),
    "ingress.no-host": Phrase(
        "404: no rule for {host}",
        "No rule covers the host {host} and no Ingress has a default backend, so the controller answers 404 itself.",
        "kubectl get ingress -A",
        RULES_TEST,
    ),
    "ingress.no-match": Phrase(
        "404: no path for {path}",
        "There are rules for {host}, but none of their paths matches {path}, and no Ingress has a default backend. "
        "The controller answers 404 itself.",
        "kubectl describe ingress -A",
        RULES_TEST,
    ),
    # what the API leaves open
    "ingress.host-fallback": Phrase(
        "a rule without a host takes it",
        "No path of the rules for {host} matches {path}; a rule that names no host does, and such a rule covers every host. " + OPEN,
        evidence=API,
    ),
    "ingress.tie": Phrase(
        "{other} says the same path",
        "{other} has the same path {path} for {host}. Here the older object wins, as in ingress-nginx. " + OPEN,
        evidence=NGINX,
    ),
    "ingress.default-conflict": Phrase(
        "several default backends",
        "{others} has a default backend too. An Ingress whose rules name the host comes first, then the oldest: {ingress}. " + OPEN,
        evidence=KEP,
    ),
    "ingress.rule-without-paths": Phrase(
        "a rule without paths",
        "{ingress} has a rule for {host} that lists no paths: its traffic goes to the default backend. " + OPEN,
        evidence=API,
    ),
    "ingress.open-path": Phrase(
        "the path contains {parts}",
        "The path {path} contains {parts}. Here it is compared as it was sent; a controller may normalise it first. " + OPEN,
        evidence=API,
    ),
    # the backend
    "ingress.endpoints": Phrase(
        "{service} has {count} ready endpoints",
        "The controller dials a ready endpoint of {service}, port {port}, itself, without the Service's address: {endpoints}.",
        "kubectl get endpointslices -l kubernetes.io/service-name",
        NGINX,
    ),
    "ingress.no-service": Phrase(
        "503: no Service {service}",
        "There is no Service {service}, so nothing can be dialled: 503. " + OPEN,
        "kubectl get service -A",
        NGINX,
    ),
    "ingress.no-port": Phrase(
        "503: {service} has no port {port}",
        "The Service {service} has no port {port}; it has {ports}. Nothing can be dialled: 503. " + OPEN,
        "kubectl get service -A",
        NGINX,
    ),
    "ingress.no-endpoints": Phrase(
        "503: {service} has no ready endpoint",
        "The Service {service} has no ready endpoint for port {port}: 503. " + OPEN,
        "kubectl get endpointslices -A",
        NGINX,
    ),
    "ingress.no-backend": Phrase("503: the path names no backend", "The path names no backend at all: 503.", evidence=API),
    # classes
    "ingress.class-named": Phrase(
        "class {class}", "{ingress} names the class {class}; the controller {controller_name} serves it.", "kubectl get ingressclass", API
    ),
    "ingress.class-default": Phrase(
        "default class {class}",
        "{ingress} names no class; {class} is the default class, so the API server fills it in when the Ingress is created.",
        "kubectl get ingressclass",
        ADMISSION,
    ),
    "ingress.class-annotation": Phrase(
        "annotation kubernetes.io/ingress.class: {class}",
        "{ingress} carries the old annotation kubernetes.io/ingress.class: {class}. It names a controller, not an IngressClass object, "
        "and goes before the field.",
        evidence=KEP,
    ),
    "ingress.class-annotation-unknown": Phrase(
        "no controller {class}",
        "{ingress} carries the old annotation kubernetes.io/ingress.class: {class}; nothing here answers to that name: nobody serves it",
        evidence=KEP,
    ),
    "ingress.class-unknown": Phrase(
        "no class {class}",
        "{ingress} names the class {class}, which does not exist (classes: {known}): nobody serves it",
        "kubectl get ingressclass",
        CLASS_TEST,
    ),
    "ingress.class-other": Phrase(
        "another controller's", "{ingress} is of the class {class}; the controller that was asked serves {only}", evidence=API
    ),
    "ingress.classless": Phrase(
        "no class",
        "{ingress} names no class and no class is the default. Controllers may serve or ignore it; here it is served. " + OPEN,
        "kubectl get ingressclass",
        KEP,
    ),
    # TLS
    "ingress.tls": Phrase(
        "certificate from {secret}",
        "TLS ends at the controller. The handshake names {sni}; {ingress} lists it, so the certificate comes from the Secret {secret}.",
        "openssl s_client -connect ADDRESS:443 -servername NAME",
        API,
    ),
    "ingress.tls-none": Phrase(
        "no certificate for {sni}",
        "No Ingress lists {sni} under tls, so the controller shows a certificate of its own and a client that checks refuses it. " + OPEN,
        "openssl s_client -connect ADDRESS:443 -servername NAME",
        NGINX,
    ),
    "ingress.tls-unnamed": Phrase(
        "tls without a Secret",
        "{ingress} lists {sni} under tls but names no Secret: the controller's own certificate is shown. " + OPEN,
        evidence=API,
    ),
    "ingress.tls-no-secret": Phrase(
        "no Secret {secret}",
        "{ingress} names the Secret {secret} for {sni}, which does not exist: the controller's own certificate is shown. " + OPEN,
        "kubectl get secret -A",
        NGINX,
    ),
    "ingress.tls-bad-secret": Phrase(
        "Secret {secret} is no TLS secret",
        "The Secret {secret} is no kubernetes.io/tls Secret with tls.crt and tls.key ({has}): the controller shows its own certificate. "
        + OPEN,
        "kubectl describe secret",
        NGINX,
    ),
    # why a candidate lost
    "ingress.lost-host": Phrase("another host", "its host {host} does not cover {request_host}", evidence=PAGE),
    "ingress.lost-general-host": Phrase(
        "a less specific host", "a rule that names {request_host} more closely comes before one for {host}", evidence=KEP
    ),
    "ingress.lost-path": Phrase("another path", _lost_path, evidence=RULES_TEST),
    "ingress.lost-shorter": Phrase(
        "a shorter path", "it matches, but {winner} is longer than {path}, and the longest path wins", evidence=PAGE
    ),
    "ingress.lost-prefix": Phrase(
        "Prefix after Exact", "it matches, but between equal paths Exact goes before Prefix", evidence=RULES_TEST
    ),
    "ingress.lost-younger": Phrase("a younger object", "it says the same, but comes after {winner} in age", evidence=NGINX),
    "ingress.lost-default": Phrase("only a default backend", "a default backend takes only what no rule matches", evidence=API),
}


def explain_route(decision: RouteDecision) -> Story:
    """The request, what decided, and why the other paths lost."""
    from .story import Story

    where = f"{decision.backend} ({decision.status})" if decision.service else str(decision.status)
    lines = [f"{decision.method} {decision.url} -> {where}", *(f"  {r.sentence}" for r in decision.reasons)]
    if decision.candidates:
        lines += ["", "not taken:", *(f"  {c}" for c in decision.candidates)]
    return Story("\n".join(lines))
