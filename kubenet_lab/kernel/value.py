"""`@value`: frozen, slotted values that are made and copied quickly.

A walk makes some hundred values for every packet. A frozen dataclass sets each field through `object.__setattr__`, and
`dataclasses.replace` looks every field up: 2 and 5 µs for twenty fields, where plain assignments take 0.3. So a value gets
its fields while it belongs to a class that may still be changed, and then becomes one of a class that may not. To its users
it is a frozen dataclass with one method more, `but`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from typing import Any, Literal, Self, TypeVar, dataclass_transform

__all__ = ["Value", "copy_with", "derived", "value"]

T = TypeVar("T")


class Value:
    """Base of all values."""

    __slots__ = ()

    def but(self, **changes: Any) -> Self:
        """This value with some fields replaced. Raises AttributeError for a field that it has not."""
        raise NotImplementedError  # `value` writes it


class copy_with:
    """In a class body, a method like `but` whose first arguments are the new values of `names`; `reset` fields start from their defaults.

    It takes others by their name as well, unless `more` is False: each costs as much as a third of a copy. `keep`: derived fields that
    do not depend on `names`.
    """

    def __init__(self, *names: str, reset: tuple[str, ...] = (), more: bool = True, keep: tuple[str, ...] = ()):
        self.names, self.reset, self.more, self.keep = names, reset, more, keep


def derived(compute: Callable[[Any], Any], *, init: Literal[False] = False) -> Any:
    """A field that follows from the others: `compute` is given the value when the fields before this one are set."""
    return field(init=init, repr=False, compare=False, metadata={"compute": compute})


@dataclass_transform(frozen_default=True, field_specifiers=(derived,))
def value(cls: type[T]) -> type[T]:
    """A class decorator, used as `dataclasses.dataclass` is, on subclasses of `Value`."""
    parts = fields(dataclass(init=False)(cls))  # type: ignore[arg-type]
    names = tuple(f.name for f in parts)
    body = {k: v for k, v in vars(cls).items() if k not in (*names, "__dict__", "__weakref__")}
    place = {"__slots__": names, "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    growing = type(cls.__name__, cls.__bases__, place)
    frozen = type(cls.__name__, (growing,), {**body, "__slots__": (), "__setattr__": _refuse, "__delattr__": _refuse})
    scope: dict[str, Any] = {"new": object.__new__, "growing": growing, "frozen": frozen}
    for f in parts:
        scope["default_" + f.name], scope["compute_" + f.name] = f.default, f.metadata.get("compute")
    copies = {name: what for name, what in body.items() if isinstance(what, copy_with)}
    exec(_source(parts, copies), scope)  # as dataclasses does it
    for name in ("__new__", "__hash__", "__reduce__", "but", *copies):
        setattr(frozen, name, scope[name])
    return frozen


def _refuse(self: object, name: str, *_: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _source(parts: tuple[Field[Any], ...], copies: dict[str, copy_with]) -> str:
    """The functions of a class with these fields."""
    given, follows = [f.name for f in parts if f.init], {f.name: f"compute_{f.name}(o)" for f in parts if not f.init}
    arguments = ", ".join(f.name if f.default is MISSING else f"{f.name}=default_{f.name}" for f in parts if f.init)
    everything = "".join(f"self.{name}, " for name in given)
    same = {name: f"self.{name}" for name in given}
    changes = ["for name in changes:", "    setattr(o, name, changes[name])"]

    def made(fields: dict[str, str], *more: str, rest: dict[str, str] = follows) -> list[str]:
        """A new value of these fields, what `more` does to it, and the fields that follow."""
        first, then = ([f"o.{name} = {source}" for name, source in those.items()] for those in (fields, rest))
        return ["o = new(growing)", *first, *more, *then, "o.__class__ = frozen", "return o"]

    functions = [
        (f"__new__(cls, {arguments})", made({name: name for name in given})),
        ("but(self, **changes)", made(same, *changes)),
        ("__hash__(self)", [f"return hash(({everything}))"]),
        ("__reduce__(self)", [f"return frozen, ({everything})"]),
    ]
    for method, copy in copies.items():
        fields = same | {n: f"default_{n}" for n in copy.reset} | {n: n for n in copy.names}
        rest = follows | {n: f"self.{n}" for n in copy.keep}
        head = f"{method}(self, {', '.join(copy.names)}"
        functions.append(
            (f"{head}, **changes)", made(fields, *changes, rest=rest)) if copy.more else (f"{head})", made(fields, rest=rest))
        )
    return "".join(f"def {head}:\n" + "".join(f"    {line}\n" for line in lines) for head, lines in functions)
