"""Jinja as dbt renders a profile with it, without importing dbt, which takes a second.

A test compares the two. [dbt: "as_native", "as_number", "as_bool", "as_text"]
"""

from ast import literal_eval
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from loader.errors import ConfigError


class _Text(str):
    """Marks a value as text, whatever it looks like."""


class _Native(str):
    """Marks a value that is written as Python writes one."""

    expected: tuple[type, ...] = ()


class _Bool(_Native):
    expected = (bool,)


class _Number(_Native):
    expected = (int, float)


def render(key: str, text: str, context: Mapping[str, Any]) -> Any:
    """Render a text.

    Args:
        key: what the text is of, for messages.

    Raises:
        ConfigError: names the key alone, because what it holds may be a password.
    """
    if "{" not in text:
        return text
    try:
        return _environment()(text).render(context)
    except ConfigError:
        raise
    except Exception:
        raise ConfigError(f"The Jinja of `{key}` cannot be rendered.", "Mend it.") from None


@cache
def _environment() -> Callable[[str], Any]:
    from jinja2.nativetypes import NativeCodeGenerator, NativeTemplate
    from jinja2.sandbox import SandboxedEnvironment

    class Environment(SandboxedEnvironment):
        code_generator_class = NativeCodeGenerator
        concat = staticmethod(_one_value)

    class Template(NativeTemplate):
        environment_class = Environment  # type: ignore[assignment]

    environment = Environment(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])
    environment.template_class = Template
    environment.filters.update(as_text=_Text, as_native=_Native, as_bool=_Bool, as_number=_Number)
    return environment.from_string


def _one_value(parts: Iterable[Any]) -> Any:
    """Join what a template has written; a single part keeps its type."""
    written = list(parts)
    if len(written) != 1:
        return "".join(str(part) for part in written)
    (value,) = written
    if isinstance(value, _Text):
        return str(value)
    if not isinstance(value, _Native):
        return value
    try:
        native = literal_eval(value)
    except (ValueError, SyntaxError, MemoryError):
        native = str(value)
    if value.expected and type(native) not in value.expected:
        raise ValueError(type(value).__name__)
    return native
