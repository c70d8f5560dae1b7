"""The wrong ideas that notebook 09 meets."""

from __future__ import annotations

from ..misconception import Misconception

__all__ = ["MISCONCEPTIONS"]

_NOTEBOOK = "09_headless_and_external_names.ipynb"

MISCONCEPTIONS: tuple[Misconception, ...] = (
    Misconception(
        "headless-has-rules",
        "kube-proxy knows headless Services too, and balances or refuses for them.",
        "There is no rule for them on any node. The client connects to a pod's own address.",
        _NOTEBOOK,
        "No address, no rules",
    ),
    Misconception(
        "headless-gives-one-address",
        "A Service's name always stands for one address.",
        "Without a ClusterIP it stands for every ready endpoint, one record each.",
        _NOTEBOOK,
        "No address, no rules",
    ),
    Misconception(
        "dns-lists-unready-pods",
        "A headless name lists all pods that the selector fits.",
        "It lists the endpoints that are ready, unless the Service publishes the others too.",
        _NOTEBOOK,
        "No address, no rules",
    ),
    Misconception(
        "headless-translates-ports",
        "port and targetPort of a headless Service are translated as for any other.",
        "Nobody translates: the packet arrives at the port that the client wrote.",
        _NOTEBOOK,
        "No address, no rules",
    ),
    Misconception(
        "pods-have-names-of-their-own",
        "The name of a pod of a StatefulSet works with any Service, or with none.",
        "It stands under the headless Service that the StatefulSet names as its serviceName, and only there.",
        _NOTEBOOK,
        "One pod by name",
    ),
    Misconception(
        "every-pod-has-a-name",
        "Every pod has a DNS name made of its own name.",
        "Only a pod whose hostname and subdomain are set, under the headless Service that the subdomain says.",
        _NOTEBOOK,
        "One pod by name",
    ),
    Misconception(
        "external-name-proxies",
        "An ExternalName sends traffic on, so that the other side sees the cluster.",
        "DNS answers with another name, and the client goes there itself.",
        _NOTEBOOK,
        "A name for a name",
    ),
    Misconception(
        "external-name-has-a-port",
        "The ports of an ExternalName Service are translated.",
        "They are written down and used by nobody who carries packets.",
        _NOTEBOOK,
        "A name for a name",
    ),
    Misconception(
        "external-name-changes-host",
        "Through an ExternalName the server is asked by its own name.",
        "The Host header holds what the client typed. DNS changes addresses, not requests.",
        _NOTEBOOK,
        "What the client says",
    ),
    Misconception(
        "certificate-follows-the-cname",
        "TLS checks the certificate against the name at the end of the CNAME.",
        "The client checks it against the name that it asked for, and sends that name in the handshake.",
        _NOTEBOOK,
        "What the client says",
    ),
    Misconception(
        "certificate-follows-the-host-header",
        "With the right Host header the server shows the right certificate.",
        "The handshake is over before the header is sent. It names what the URL names, and the certificate must be for that.",
        _NOTEBOOK,
        "What the client says",
    ),
)
