"""A shell on a machine that does not exist: `ip`, `bridge`, `iptables`, `ping` and the rest read and edit a namespace's state."""

from __future__ import annotations

from .commands import commands_for
from .disk import Files
from .shell import Shell
from .terminal import Terminal, ToolError

__all__ = ["Files", "Shell", "Terminal", "ToolError", "commands_for"]
