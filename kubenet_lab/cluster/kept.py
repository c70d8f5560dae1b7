"""Objects of kinds without a typed view: some are read by a provider, the others are kept and not acted on."""

from __future__ import annotations

from ..services import MetalLB
from ..services.metallb_config import KINDS as METALLB_KINDS
from .balancers import provider
from .networks.calico import KINDS as CALICO_KINDS
from .networks.calico import CalicoNetwork
from .service_networks import KIND as SERVICE_CIDR
from .settle import Declared

__all__ = ["sorted_out"]

Keys = tuple[tuple[str, str], ...]


def sorted_out(declared: Declared) -> tuple[Keys, Keys]:
    """(kind, key) of those that are read, and of those that are not acted on."""
    kinds = {SERVICE_CIDR}
    if isinstance(declared.network, CalicoNetwork):
        kinds |= CALICO_KINDS
    store, plan = declared.store, declared.plan
    balancer = provider(declared.options, plan, store.snapshot()) if plan is not None else None
    if isinstance(balancer, MetalLB) and not balancer.pool:
        kinds |= METALLB_KINDS
    return tuple(o for o in store.ignored if o[0] in kinds), tuple(o for o in store.ignored if o[0] not in kinds)
