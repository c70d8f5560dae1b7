"""What `kubenet-lab COMMAND --help` shows: examples first."""

from __future__ import annotations

__all__ = ["EXAMPLES", "NODE_EXAMPLES", "OUTCOMES_EXAMPLES", "PCAP_EXAMPLES", "POD_EXAMPLES", "RULES_EXAMPLES", "TRACE_EXAMPLES"]

EXAMPLES = """\
examples:
  kubenet-lab start                                    your own copy of the notebooks, in ./course
  kubenet-lab lab                                      the same, then JupyterLab opens the first one
  kubenet-lab doctor                                   is everything here that the course needs?
  kubenet-lab trace bookshop shop/web http://cart:8080
  kubenet-lab trace dump.yaml shop/web data/db --port 5432 --explain
  kubenet-lab node bookshop worker-1 -- ip route       a shell on a node that does not exist
  kubenet-lab pcap bookshop shop/web svc:shop/cart --port 8080 -w way.pcap
  kubenet-lab outcomes bookshop shop/web svc:shop/api --port 8080      every way it can go, with probabilities
  kubenet-lab rules bookshop --node worker-1 --service shop/cart       what kube-proxy programmed for a Service

kubenet-lab COMMAND --help shows more of each.
"""

_SOURCE = """\
SOURCE is a file or folder of manifests, a dump (kubectl get ... -o yaml), "-" for standard input, or the name of a shipped example.
"""

TRACE_EXAMPLES = f"""\
{_SOURCE}SRC and DST are "ns/name" (a pod, or the first ready pod of that workload), "svc:ns/name", "node:NAME", "external:IP" or an IP;
DST may also be a URL, or a DNS name as a client in SRC would type it.

examples:
  kubenet-lab trace bookshop shop/web http://cart:8080
  kubenet-lab trace bookshop shop/web svc:shop/cart --port 8080 --explain
  kubenet-lab trace bookshop shop/api data/db --port 5432 --json
  kubenet-lab trace manifests/ external:203.0.113.7 node:worker-1 --port 30080 --pcap way-in.pcap
  kubectl get all,nodes,networkpolicies,endpointslices -A -o yaml | kubenet-lab trace - shop/web svc:shop/cart

exit status: 0 delivered, 1 not delivered, 2 bad input
"""

PCAP_EXAMPLES = f"""\
{_SOURCE}LINK is "host/device"; without it the file holds what crossed the first NIC on the way, else the client's own interface.
FILE "-" is standard output, and the verdict goes to standard error.

examples:
  kubenet-lab pcap bookshop shop/web svc:shop/cart --port 8080 -w way.pcap
  kubenet-lab pcap bookshop shop/web shop/cart --port 8080 --at worker-1/flannel.1 -w inner.pcap
  kubenet-lab pcap bookshop shop/web http://cart:8080 -w - | tshark -d udp.port==8472,vxlan -r -

exit status: 0 delivered, 1 not delivered (the file is written all the same), 2 bad input
"""

NODE_EXAMPLES = f"""\
{_SOURCE}COMMAND is one command, or one quoted line with pipes, && and ;. Changes last as long as the line.

examples:
  kubenet-lab node bookshop worker-1 -- ip route
  kubenet-lab node bookshop worker-1 -- 'iptables-save -t nat | grep KUBE-SVC'
  kubenet-lab node bookshop worker-1 -- 'ip route del 10.244.2.0/24; ip route get 10.244.2.3'

exit status: the command's; 2 bad input, 127 a command that the lab does not know
"""

POD_EXAMPLES = f"""\
{_SOURCE}POD is "ns/name": a pod, or the first ready pod of that workload. COMMAND as for `kubenet-lab node`.

examples:
  kubenet-lab pod bookshop shop/web -- ip addr
  kubenet-lab pod bookshop shop/web -- 'ping -c 1 10.244.2.3; ip neigh'

exit status: the command's; 2 bad input, 127 a command that the lab does not know
"""

RULES_EXAMPLES = f"""\
{_SOURCE}Without --service: all that the tool of the node prints (iptables-save, nft list ruleset). With it: where the
Service is caught, and what follows.

examples:
  kubenet-lab rules bookshop --node worker-1
  kubenet-lab rules bookshop --node worker-1 --service shop/cart
  kubenet-lab rules dump.yaml --node worker-1 --mode nftables --service shop/cart
  kubenet-lab rules bookshop --node worker-1 --written

exit status: 0 done, 1 the node has no rule for this Service (none ever has one for a headless or an ExternalName Service), 2 bad input
"""

OUTCOMES_EXAMPLES = f"""\
{_SOURCE}SRC and DST as for `kubenet-lab trace`, but no URL. The probabilities are exact and sum to 1; nothing is drawn.

examples:
  kubenet-lab outcomes bookshop shop/web svc:shop/api
  kubenet-lab outcomes bookshop shop/web svc:kube-system/kube-dns:dns --protocol UDP
  kubenet-lab outcomes bookshop external:203.0.113.7 node:worker-1 --port 30080 --json
  kubenet-lab outcomes dump.yaml external:203.0.113.7 198.51.100.7 --port 443 --via worker-2

exit status: 0 every outcome is delivered, 1 at least one is not, 2 bad input
"""
