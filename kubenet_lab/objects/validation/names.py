"""Names, labels and addresses: the rules below the API's own, with their messages.

Each function returns the messages of what is wrong, in order; an empty tuple is a valid value.
Source: apimachinery pkg/util/validation/validation.go, ip.go, and pkg/api/validation/generic.go.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache

from ..addresses import parse_cidr, parse_ip

__all__ = [
    "Check", "address_warning", "cidr_errors", "dns1035_label", "dns1123_label", "dns1123_subdomain", "domain_prefixed_path",
    "fully_qualified_domain", "http_header_name", "ip_errors", "label_key_errors", "label_value_errors", "name_is_dns1035",
    "name_is_label", "name_is_subdomain", "parse_cidr", "parse_ip", "path_segment", "port_name", "port_number", "qualified_name",
    "wildcard_subdomain",
]  # fmt: skip

Messages = tuple[str, ...]
Check = Callable[[str], Messages]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = _LABEL + r"(\." + _LABEL + ")*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_QUALIFIED})?"
_WILDCARD = r"\*\." + _SUBDOMAIN
_HEADER = "[-A-Za-z0-9]+"
_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"

_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
_LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
    "start with an alphabetic character, and end with an alphanumeric character"
)
_QUALIFIED_TEXT = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"


def _regex_error(text: str, pattern: str, *examples: str) -> str:
    """The words that go with a pattern: (e.g. 'a',  or 'b', regex used for validation is '...')."""
    given = ",  or ".join(f"'{e}'" for e in examples)
    return f"{text} ({f'e.g. {given}, ' if given else ''}regex used for validation is '{pattern}')"


def too_long(limit: int) -> str:
    return f"must be no more than {limit} bytes"


def _matcher(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


_is_label, _is_subdomain, _is_1035 = _matcher(_LABEL), _matcher(_SUBDOMAIN), _matcher(_LABEL_1035)
_is_qualified, _is_value, _is_wildcard = _matcher(_QUALIFIED), _matcher(_VALUE), _matcher(_WILDCARD)
_is_header, _is_path = _matcher(_HEADER), _matcher(_PATH)


def dns1123_label(text: str) -> Messages:
    out = []
    if len(text.encode()) > 63:
        out.append(too_long(63))
    if not _is_label(text):
        if _is_subdomain(text):
            out.append("must not contain dots")
        else:
            out.append(_regex_error(_LABEL_TEXT, _LABEL, "my-name", "123-abc"))
    return tuple(out)


@lru_cache(maxsize=1 << 14)
def dns1123_subdomain(text: str) -> Messages:
    out = []
    if len(text.encode()) > 253:
        out.append(too_long(253))
    if not _is_subdomain(text):
        out.append(_regex_error(_SUBDOMAIN_TEXT, _SUBDOMAIN, "example.com"))
    return tuple(out)


def dns1035_label(text: str) -> Messages:
    out = []
    if len(text.encode()) > 63:
        out.append(too_long(63))
    if not _is_1035(text):
        out.append(_regex_error(_LABEL_1035_TEXT, _LABEL_1035, "my-name", "abc-123"))
    return tuple(out)


def wildcard_subdomain(text: str) -> Messages:
    out = []
    if len(text.encode()) > 253:
        out.append(too_long(253))
    if not _is_wildcard(text):
        words = (
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
            "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
        )
        out.append(_regex_error(words, _WILDCARD, "*.example.com"))
    return tuple(out)


def fully_qualified_domain(text: str) -> Messages:
    """An FQDN of at least two labels; a trailing dot is allowed."""
    if not text:
        return ("",)  # Required, not Invalid: the caller says so
    name = text.removesuffix(".")
    wrong = dns1123_subdomain(name)
    if wrong:
        return wrong
    labels = name.split(".")
    if len(labels) < 2:
        return ("should be a domain with at least two segments separated by dots",)
    return tuple(m for label in labels for m in dns1123_label(label))


@lru_cache(maxsize=1 << 14)
def qualified_name(text: str) -> Messages:
    """A label key, an annotation key, an application protocol: `name` or `example.com/name`."""
    parts = text.split("/")
    out: list[str] = []
    if len(parts) == 1:
        name = parts[0]
    elif len(parts) == 2:
        prefix, name = parts
        if not prefix:
            out.append("prefix part must be non-empty")
        else:
            out.extend(f"prefix part {m}" for m in dns1123_subdomain(prefix))
    else:
        words = f"a qualified name {_QUALIFIED_TEXT}"
        return (
            _regex_error(words, _QUALIFIED, "MyName", "my.name", "123-abc")
            + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
        )
    if not name:
        out.append("name part must be non-empty")
    elif len(name.encode()) > 63:
        out.append(f"name part {too_long(63)}")
    if not _is_qualified(name):
        out.append(f"name part {_regex_error(_QUALIFIED_TEXT, _QUALIFIED, 'MyName', 'my.name', '123-abc')}")
    return tuple(out)


label_key_errors = qualified_name


@lru_cache(maxsize=1 << 14)
def label_value_errors(text: str) -> Messages:
    out = []
    if len(text.encode()) > 63:
        out.append(too_long(63))
    if not _is_value(text):
        words = (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
            "and must start and end with an alphanumeric character"
        )
        out.append(_regex_error(words, _VALUE, "MyValue", "my_value", "12345"))
    return tuple(out)


def port_number(value: int) -> Messages:
    return () if 1 <= value <= 65535 else ("must be between 1 and 65535, inclusive",)


def port_name(text: str) -> Messages:
    """IANA_SVC_NAME, RFC 6335: at most 15 characters of a-z, 0-9 and single inner '-', at least one letter."""
    out = []
    if len(text.encode()) > 15:
        out.append(too_long(15))
    if not re.fullmatch("[-a-z0-9]*", text) or not text:
        out.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", text):
        out.append("must contain at least one letter (a-z)")
    if "--" in text:
        out.append("must not contain consecutive hyphens")
    if text and (text[0] == "-" or text[-1] == "-"):
        out.append("must not begin or end with a hyphen")
    return tuple(out)


def http_header_name(text: str) -> Messages:
    if _is_header(text):
        return ()
    words = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return (_regex_error(words, _HEADER, "X-Header-Name"),)


def path_segment(text: str) -> Messages:
    if text in (".", ".."):
        return (f"may not be '{text}'",)
    return tuple(f"may not contain '{c}'" for c in ("/", "%") if c in text)


def domain_prefixed_path(text: str) -> Messages:
    """`example.com/name`, as IngressClass controllers are named."""
    if not text:
        return ()
    prefix, slash, path = text.partition("/")
    if not slash or not prefix or not path:
        return ('must be a domain-prefixed path (such as "acme.io/foo")',)
    out = list(dns1123_subdomain(prefix))
    if not _is_path(path):
        out.append(_regex_error("Invalid path", _PATH))
    return tuple(out)


# --- names of objects: a generateName is checked without its trailing dash ----------------------------------------
def _masked(text: str) -> str:
    return text[:-1] + "a" if len(text) > 1 and text.endswith("-") else text


def name_is_subdomain(name: str, prefix: bool = False) -> Messages:
    return dns1123_subdomain(_masked(name) if prefix else name)


def name_is_label(name: str, prefix: bool = False) -> Messages:
    return dns1123_label(_masked(name) if prefix else name)


def name_is_dns1035(name: str, prefix: bool = False) -> Messages:
    return dns1035_label(_masked(name) if prefix else name)


# --- addresses ---------------------------------------------------------------------------------------------------
def ip_errors(text: str) -> Messages:
    return () if parse_ip(text) is not None else ("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",)


def cidr_errors(text: str) -> Messages:
    return () if parse_cidr(text) is not None else ("must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",)


def address_warning(text: str) -> Messages:
    """What makes an address nonsense for an endpoint or an external IP."""
    ip = parse_ip(text)
    if ip is None:
        return ("must be a valid IP address",)
    out = []
    if ip.is_unspecified:
        out.append(f"may not be unspecified ({text})")
    if ip.is_loopback:
        out.append("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    v4 = ip.version == 4
    if ip in ipaddress.ip_network("169.254.0.0/16" if v4 else "fe80::/10"):
        out.append("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if ip in ipaddress.ip_network("224.0.0.0/24" if v4 else "ff02::/16"):
        out.append("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    return tuple(out)
