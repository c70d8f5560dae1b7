"""Solutions of notebook 06."""

from __future__ import annotations

__all__ = ["ANSWERS"]

ANSWERS = {
    "06.a": "1",
    "06.b": '"refused"',
    # the pods of api and cart: two and one
    "06.1": 'sum(p.labels.get("tier") == "backend" for p in kn.example("bookshop").objects("Pod") if p.namespace == "shop")',
    "06.2": 'kn.example("bookshop").pod("shop/cart").object.spec.containers[0].ports[0].container_port',
    "06.3": '"refused"',
    "06.4": '"1/3"',
}
