"""Solutions of notebook 01."""

from __future__ import annotations

__all__ = ["ANSWERS"]

_SHOP = 'kn.example("bookshop")'

ANSWERS = {
    "01.a": "1",
    "01.b": '"node"',
    # a pod of the other node: by the gateway, which is the pod's own node
    "01.1": f'{_SHOP}.pod("shop/web").run("ip route show default").split()[2]',
    "01.2": '"fails"',
    "01.3": f'{_SHOP}.pod("ops/ingress").ip',
    "01.4": (
        f'(lambda links, number: links[links.ifindex == number].ifname.iloc[0])({_SHOP}.node("worker-2").links(), '
        f'int({_SHOP}.pod("shop/cart").run("ip -br link show dev eth0").split()[0].split("@if")[1]))'
    ),
}
