"""Lets the policy tests import the modules beside them (naive_decider, policy_worlds, ...)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
