"""Explorers for notebooks. Loaded when first named, so that `import kubenet_lab` stays light."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cni_lab import CniLab
    from .service_explorer import ServiceExplorer
    from .tracer import PacketTracer

__all__ = ["CniLab", "PacketTracer", "ServiceExplorer"]

_HOMES = {"CniLab": "cni_lab", "PacketTracer": "tracer", "ServiceExplorer": "service_explorer"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f".{_HOMES[name]}", __package__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
