"""What can be different or broken in a random cluster: each feature is a name and the command lines that make it so."""

from __future__ import annotations

from . import faults_links, faults_rules, faults_tables
from .draft import FEATURES, NODE_PORT_NUMBER, SERVICE_IP, SERVICE_PORT, SERVICE_UDP, Draft
from .faults_rules import service

__all__ = ["FEATURES", "NODE_PORT_NUMBER", "SERVICE_IP", "SERVICE_PORT", "SERVICE_UDP", "Draft", "service"]

#: the modules that fill FEATURES
CATALOGUE = (faults_tables, faults_links, faults_rules)
