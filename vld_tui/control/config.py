"""Read and change the settings of a home by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from engine.protocol import UserError, nearest
from engine.protocol.fields import FieldInfo
from vld_tui.config import SECTIONS, SETTINGS
from vld_tui.launch.notify.address import (
    WebhookError,
    check_address,
    variables_in,
    without_variables,
)
from vld_tui.launch.notify.process import call_notifier
from vld_tui.launch.queue import read_gpus
from vld_tui.store.store import Store
from vld_tui.words.secrets import secret_address_in


class ConfigError(UserError):
    """An unknown setting or an invalid value; the message says what is allowed."""


@dataclass(frozen=True)
class Setting:
    """A setting with its value; ``is_set``: it is not the default."""

    info: FieldInfo
    value: Any
    is_set: bool


def settings(store: Store) -> list[Setting]:
    """Return every setting.

    Raises:
        StoreError: when they cannot be read.
    """
    return [_read(store, info) for info in SETTINGS.values()]


def get(store: Store, name: str) -> Setting:
    """Return a setting.

    Raises:
        ConfigError: when none has this name.
        StoreError: when it cannot be read.
    """
    return _read(store, _find(name))


def put(store: Store, name: str, text: str) -> Setting:
    """Set a setting to what a text spells, and return it.

    Raises:
        ConfigError, SlotsError, SpecError: when none has this name, or the value is not allowed.
        StoreError: when it cannot be saved.
    """
    info = _find(name)
    if not text.isprintable() and any("\ud800" <= sign <= "\udfff" for sign in text):
        raise ConfigError(f"{info.name} must be valid text in UTF-8.")
    if (check := _CHECKS.get(info.name)) is not None:
        value = check(info, text)
    else:
        value = info.check(info.read_text(text))
    return _write(store, info, value)


def unset(store: Store, name: str) -> Setting:
    """Return a setting to its default.

    Raises:
        ConfigError: when none has this name.
        StoreError: when it cannot be saved.
    """
    return _write(store, _find(name), None)


def _find(name: str) -> FieldInfo:
    info = SETTINGS.get(name) or SETTINGS.get(name.replace("-", "_"))
    if info is not None:
        return info
    inner = [known for known in SETTINGS if known.partition(".")[2] == name]
    hint = f" Did you mean {' or '.join(inner)}?" if inner else nearest(name, SETTINGS)
    raise ConfigError(f"No setting {name!r}.{hint}\nList them with: vld config ls")


def _read(store: Store, info: FieldInfo) -> Setting:
    section, _, field = info.name.partition(".")
    value = getattr(store.settings.section(SECTIONS[section]), field)
    return Setting(info, value, value != info.default)


def _write(store: Store, info: FieldInfo, value: Any) -> Setting:
    section, _, field = info.name.partition(".")
    store.settings.set_in_section(SECTIONS[section], {field: value})
    if section == "notify":
        if not store.notifications.config.is_on:
            store.notifications.drop_all()
        call_notifier(store)  # for runs that are running already
    return _read(store, info)


def _check_gpus(_info: FieldInfo, text: str) -> object:
    return read_gpus("all" if text == "none" else text)


def _check_theme(info: FieldInfo, text: str) -> object:
    from textual.theme import BUILTIN_THEMES  # slow to import

    if text not in BUILTIN_THEMES:
        known = nearest(text, BUILTIN_THEMES) or f" Themes: {', '.join(sorted(BUILTIN_THEMES))}."
        raise ConfigError(f"{info.name} is {text!r}, but must be a theme.{known}")
    return text


def _check_command(info: FieldInfo, text: str) -> object:
    if text in ("", "none"):
        return None
    if "\0" in text:
        raise ConfigError(f"{info.name} must not contain a NUL character.")
    _refuse_secret(info, text, "MY_TOKEN", "… $MY_TOKEN …")
    return text


def _check_webhook(info: FieldInfo, text: str) -> object:
    text = text.strip()
    if text in ("", "none"):
        return None
    _refuse_secret(info, text, "WEBHOOK_URL", "$WEBHOOK_URL")
    if not text.startswith("$"):  # the rest may be in the variable
        try:
            check_address(without_variables(text), f"{info.name}: {text!r}")
        except WebhookError as error:
            raise ConfigError(f"{error}.") from None
    elif not variables_in(text):
        raise ConfigError(f"{info.name} is {text!r}, but must be a URL, or $NAME for one.")
    return text


def _refuse_secret(info: FieldInfo, text: str, name: str, usage: str) -> None:
    """Check that a value contains no secret.

    Raises:
        ConfigError: with how to refer to it instead.
    """
    if secret_address_in(text):
        raise ConfigError(
            f"{info.name} seems to contain a secret, which would be stored.\n"
            f"Refer to it by name, in single quotes: export {name}=…; "
            f"vld config set {info.name} '{usage}'"
        )


_CHECKS: Final[dict[str, Callable[[FieldInfo, str], object]]] = {
    "notify.command": _check_command,
    "notify.webhook": _check_webhook,
    "queue.gpus": _check_gpus,
    "dashboard.theme": _check_theme,
}
"""What reads and checks the text of settings whose type is not all there is to them."""
