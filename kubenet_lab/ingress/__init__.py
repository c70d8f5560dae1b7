"""Ingress: from a URL to a Service and a pod, as the API says it; the controller and the web server as processes."""

from __future__ import annotations

from .controller import HttpServer, IngressController
from .http import HttpRequest, HttpResponse, split_url
from .route import CONTROLLERS, Candidate, RouteDecision, route

__all__ = [
    "CONTROLLERS", "Candidate", "HttpRequest", "HttpResponse", "HttpServer", "IngressController", "RouteDecision", "route", "split_url",
]  # fmt: skip
