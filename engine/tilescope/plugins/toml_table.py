"""A TOML table that notes every mistake with its dotted key, and every key nobody asked for."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

NUMBER = (int, float)


class Table:
    """A TOML table that knows its own dotted key and which of its keys were asked for."""

    def __init__(self, values: object, key: str, problems: list[str]) -> None:
        self.key = key
        self.problems = problems
        self._asked: set[str] = set()
        self._values: dict[str, Any] = {}
        if isinstance(values, dict):
            self._values = values
        else:
            problems.append(f"{key}: must be a table")

    def path(self, name: str) -> str:
        """Return the dotted key of an entry."""
        return f"{self.key}.{name}" if self.key else name

    def take(self, name: str, kind: type[T] | tuple[type[T], ...], default: T | None = None) -> T:
        """Return the value of ``name``; a missing or wrong one is noted and its default used."""
        self._asked.add(name)
        value = self._values.get(name)
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if value is None:
            if default is None:
                self.problems.append(f"{self.path(name)}: is missing")
                return _blank(kinds[0])
            return default
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(k.__name__ for k in kinds)
            self.problems.append(f"{self.path(name)}: must be {wanted}, not {value!r}")
            return default if default is not None else _blank(kinds[0])
        return value

    def positive(self, name: str) -> float:
        """Return a finite number above zero; anything else is noted."""
        value = float(self.take(name, NUMBER))
        if self.has(name) and not (value > 0 and math.isfinite(value)):
            self.note(name, f"must be a positive number, not {self._values[name]!r}")
        return value

    def note(self, name: str, problem: str) -> None:
        """Add a problem of ``name`` unless there is one already."""
        lead = f"{self.path(name)}: "
        if not any(known.startswith(lead) for known in self.problems):
            self.problems.append(lead + problem)

    def has(self, name: str) -> bool:
        """Tell whether there is an entry of that name."""
        self._asked.add(name)
        return name in self._values

    def table(self, name: str) -> Table:
        """Return the table of that name; anything else is noted."""
        self._asked.add(name)
        return Table(self._values.get(name), self.path(name), self.problems)

    def tables(self, name: str) -> list[Table]:
        """Return a list of tables; anything else is noted."""
        values = self.take(name, list)
        return [
            Table(value, f"{self.path(name)}[{index}]", self.problems)
            for index, value in enumerate(values)
        ]

    def names(self) -> list[str]:
        """Return the names of all entries."""
        return list(self._values)

    def raw(self) -> Mapping[str, Any]:
        """Return all entries as they are; none of them is unknown then."""
        self._asked.update(self._values)
        return self._values

    def strings(self, name: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return a list of strings; anything else is noted."""
        values = self.take(name, list, list(default) if default is not None else None)
        if not all(isinstance(value, str) for value in values):
            self.problems.append(f"{self.path(name)}: must be a list of strings")
            return ()
        return tuple(values)

    def numbers(self, name: str) -> tuple[float, ...]:
        """Return one number or a list of numbers as a tuple; anything else is noted."""
        value: Any = self.take(name, (list, int, float))
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(item, NUMBER) and not isinstance(item, bool) for item in values):
            self.note(name, "must be a number or a list of numbers")
            return ()
        return tuple(float(item) for item in values)

    def build(self, make: Callable[[Table], T]) -> T | None:
        """Call ``make``; its ValueError and every key nobody asked for become problems.

        ``make`` has to ask for all of its keys before it raises.
        """
        before = len(self.problems)
        result: T | None = None
        try:
            result = make(self)
        except ValueError as exc:
            if len(self.problems) == before:
                self.problems.append(f"{self.key or 'manifest'}: {exc}")
        for name in self._values:
            if name not in self._asked:
                near = difflib.get_close_matches(name, self._asked, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                self.problems.append(f"{self.path(name)}: unknown key{hint}")
        return result if len(self.problems) == before else None


def _blank(kind: type[T]) -> T:
    return kind()
