"""HTTP values: bytes as on the wire, parsing, URLs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenet_lab.errors import KubenetError
from kubenet_lab.ingress import HttpRequest, HttpResponse, split_url


@pytest.mark.parametrize(
    ("url", "want"),
    [
        ("http://shop.example/cart?x=1", ("http", "shop.example", 80, "/cart", "x=1", "shop.example")),
        ("https://shop.example", ("https", "shop.example", 443, "/", "", "shop.example")),
        ("shop.example:8080/a", ("http", "shop.example", 8080, "/a", "", "shop.example:8080")),
        ("http://SHOP.example:80/a#top", ("http", "shop.example", 80, "/a", "", "shop.example")),
        ("http://user:pw@10.0.0.1/a", ("http", "10.0.0.1", 80, "/a", "", "10.0.0.1")),
        ("https://[fd00::5]:8443/a", ("https", "fd00::5", 8443, "/a", "", "[fd00::5]:8443")),
    ],
)
def test_split_url(url: str, want: tuple[object, ...]) -> None:
    u = split_url(url)
    assert (u.scheme, u.host, u.port, u.path, u.query, u.authority) == want


@pytest.mark.parametrize(
    "url", ["ftp://x/", "http://", "http://a b/", "http://a:port/", "http://a:70000/", "http://a:0/", "http://[::1/", "http://a/b\nc"]
)
def test_bad_urls_say_what_is_wrong(url: str) -> None:
    with pytest.raises(KubenetError, match="bad URL"):
        split_url(url)


def test_request_bytes() -> None:
    r = HttpRequest.to("http://shop.example:8080/cart?x=1", "post", {"Accept": "*/*", "Host": "other"}, body_size=5)
    assert bytes(r).startswith(b"POST /cart?x=1 HTTP/1.1\r\nHost: other\r\nAccept: */*\r\nContent-Length: 5\r\n\r\n")
    assert len(r) == len(bytes(r))
    assert (r.path, r.query, r.sni) == ("/cart", "x=1", "")
    assert HttpRequest.to("https://a.example/", headers={"Host": "b.example"}).sni == "a.example"
    assert b"Content-Length" not in bytes(HttpRequest.to("http://a/"))


def test_response_bytes() -> None:
    r = HttpResponse(404, (("Content-Type", "text/plain"),), b"no\n")
    assert bytes(r) == b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nno\n"
    assert len(r) == len(bytes(r))
    assert HttpResponse.from_bytes(bytes(r)) == r


@pytest.mark.parametrize("bad", [{"A B": "x"}, {"": "x"}, {"A": "x\r\nEvil: 1"}, {"A:": "x"}])
def test_headers_cannot_be_smuggled(bad: dict[str, str]) -> None:
    with pytest.raises(KubenetError):
        HttpRequest.to("http://a/", headers=bad)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HTTP/1.1\r\n",
        b"GET /\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    ],
)
def test_bad_requests(data: bytes) -> None:
    with pytest.raises(KubenetError, match="not HTTP"):
        HttpRequest.from_bytes(data)


TOKEN = st.text(alphabet="abcXYZ-", min_size=1, max_size=8).filter(lambda s: s.lower() not in ("host", "content-length"))
VALUE = st.text(alphabet="abc 019;=/", max_size=12).map(str.strip)


@given(st.sampled_from(["GET", "POST", "HEAD"]), st.lists(st.tuples(TOKEN, VALUE), max_size=4), st.binary(max_size=20))
def test_request_round_trip(method: str, headers: list[tuple[str, str]], body: bytes) -> None:
    r = HttpRequest(method, "/a/b?c=d", "h.example:81", tuple(headers), body)
    assert HttpRequest.from_bytes(bytes(r)) == r
    assert len(r) == len(bytes(r))


def test_headers_are_found_by_any_case_and_joined() -> None:
    r = HttpRequest(headers=(("X-A", "1"), ("x-a", "2")), host="h")
    assert r.header("X-a") == "1, 2"
    assert r.header("HOST") == "h"
    assert r.with_header("x-A", "3").headers == (("X-A", "3"),)
    assert r.with_header("Host", "g").host == "g"
