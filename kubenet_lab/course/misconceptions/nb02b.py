"""The wrong ideas that notebook 02b meets."""

from __future__ import annotations

from ..misconception import Misconception

__all__ = ["MISCONCEPTIONS"]

_NOTEBOOK = "02b_cni_in_full.ipynb"
_CRASH, _ERRORS, _CHECK = "What a crash leaves", "Reading errors", "Is it still as it was?"

MISCONCEPTIONS: tuple[Misconception, ...] = (
    Misconception(
        "every-address-counts",
        "Every address of the subnet can be a pod's.",
        "The first and the last belong to the subnet itself.",
        _NOTEBOOK,
        _CRASH,
    ),
    Misconception("gateway-takes-none", "The gateway takes no address of the subnet.", "The bridge has one of them.", _NOTEBOOK, _CRASH),
    Misconception(
        "any-error-is-999",
        "A plugin's error has no number worth reading.",
        "The specification numbers what every runtime must understand; 999 is for the rest.",
        _NOTEBOOK,
        _ERRORS,
    ),
    Misconception(
        "bad-list-is-seven",
        "Whatever is wrong with a call is an invalid configuration.",
        "Versions, variables and text that cannot be read have codes of their own.",
        _NOTEBOOK,
        _ERRORS,
    ),
    Misconception(
        "decoding-is-all",
        "Every bad conflist fails to decode.",
        "Most can be read, and then make no sense: that is another code.",
        _NOTEBOOK,
        _ERRORS,
    ),
    Misconception("check-repairs", "CHECK repairs what is broken.", "CHECK looks, and says what is not as it was.", _NOTEBOOK, _CHECK),
    Misconception(
        "del-cleans-up",
        "DEL cleans up what crashes left.",
        "DEL is said for one pod. Nobody says it for a pod that is forgotten.",
        _NOTEBOOK,
        _CRASH,
    ),
    Misconception(
        "status-attaches-a-pod",
        "STATUS tries to attach a pod.",
        "It asks the plugins whether they could, and changes nothing.",
        _NOTEBOOK,
        _CRASH,
    ),
    Misconception(
        "gc-is-a-big-del",
        "GC takes all pods away.",
        "It keeps what the runtime names, and throws away what nobody wants.",
        _NOTEBOOK,
        _CRASH,
    ),
)
