"""Which Ingress objects are served at all: IngressClass, the default class, the legacy annotation.

Sources: networking.k8s.io/v1 IngressSpec.ingressClassName; KEP-1453 (the annotation has priority over the
field); the DefaultIngressClass admission plugin (with several default classes the newest is taken; older
releases refused the Ingress); ingress-controller-conformance `ingress_class.feature` (unknown class: nobody serves).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..objects.snapshot import Snapshot
from ..objects.views import Ingress, IngressClass
from ..trace import Reason

__all__ = ["ANNOTATION", "DEFAULT_ANNOTATION", "Service", "age", "default_class", "resolve"]

ANNOTATION = "kubernetes.io/ingress.class"
DEFAULT_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"


@dataclass(frozen=True, slots=True)
class Service:
    """Whether an Ingress is served, by which class, and why. `name` is "" where none is named."""

    served: bool
    name: str
    reason: Reason
    controller: str = ""


def age(o: Ingress | IngressClass) -> tuple[str, str, str]:
    """Sort key: oldest first, then namespace and name; an object without a time stands last."""
    return o.metadata.creation_timestamp or "~", o.namespace, o.name


def default_class(snapshot: Snapshot) -> IngressClass | None:
    """The class that an Ingress without one is given: of those marked default the newest, then by name."""
    marked = [c for c in snapshot.list(IngressClass) if c.metadata.annotations.get(DEFAULT_ANNOTATION) == "true"]
    newest = max((c.metadata.creation_timestamp or "" for c in marked), default="")
    return next((c for c in marked if (c.metadata.creation_timestamp or "") == newest), None)


def resolve(snapshot: Snapshot, ingress: Ingress, only: str | None = None) -> Service:
    """Who serves an Ingress. `only` limits the answer to one class name: what one controller is responsible for."""
    origin = f"Ingress {ingress.key}"
    classes = snapshot.list(IngressClass)

    def answer(served: bool, name: str, code: str, controller: str = "", **params: object) -> Service:
        if served and only is not None and name and name != only:
            why = Reason("ingress.class-other", {"ingress": ingress.key, "class": name, "only": only}, origin)
            return Service(False, name, why, controller)
        return Service(served, name, Reason(code, {"ingress": ingress.key, "class": name, **params}, origin), controller)

    if legacy := ingress.metadata.annotations.get(ANNOTATION):
        # the annotation names what a controller calls itself, not an object: a class of that name, or the last word of a
        # class's controller, is the only trace of such a controller; without any class object nothing can be told
        known = next((c for c in classes if legacy in (c.name, c.spec.controller.rpartition("/")[2].removeprefix("ingress-"))), None)
        if known or not classes:
            return answer(True, legacy, "ingress.class-annotation", known.spec.controller if known else "")
        return answer(False, legacy, "ingress.class-annotation-unknown")
    if name := ingress.spec.ingress_class_name:
        found = snapshot.get(IngressClass, name)
        if found is None:
            return answer(False, name, "ingress.class-unknown", known=", ".join(c.name for c in classes) or "none")
        return answer(True, name, "ingress.class-named", found.spec.controller, controller_name=found.spec.controller)
    if ingress.spec.ingress_class_name is None and (default := default_class(snapshot)):
        return answer(True, default.name, "ingress.class-default", default.spec.controller)
    return answer(True, "", "ingress.classless")
