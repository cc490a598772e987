"""The user's preferences, which napari keeps and shows (Preferences ▸ U-Net)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

if TYPE_CHECKING:
    from napari_unet.plugin.parts.forms import OptionsForm

PLUGIN = "napari-unet-lab"
DEFAULTS: dict[str, dict[str, Any]] = {
    "training": {"runs": "", "minutes": 2.0, "keep_labels": True},
    "computing": {
        "device": "auto",
        "precision": "auto",
        "memory": 0.0,
        "low_priority": True,
    },
}
"""As in the manifest; they hold where napari is too old to have such preferences."""


class Preferences(QObject):
    """What the user prefers, and a signal when that changes.

    Parameters
    ----------
    stored : napari.settings.PluginSettings or None
    """

    changed = Signal()

    def __init__(self, stored: Any) -> None:
        super().__init__()
        self.stored = stored
        for group in DEFAULTS if stored else ():
            getattr(stored, group).events.connect(self._on_change)

    def get(self, group: str, name: str) -> Any:
        """Return one preference."""
        if self.stored is None:
            return DEFAULTS[group][name]
        return getattr(getattr(self.stored, group), name)

    def computing(self) -> dict[str, Any]:
        """Return the preferred options of what computes, by their names in `config`."""
        megabytes = round(1024 * self.get("computing", "memory"))
        return {
            "device": self.get("computing", "device"),
            "precision": self.get("computing", "precision"),
            "memory": f"{megabytes}MB" if megabytes else None,
        }

    def _on_change(self, _: object) -> None:
        self.changed.emit()


class Follower(QObject):
    """Enters in a form what the user prefers, at first and when that changes.

    Parameters
    ----------
    form : OptionsForm
    """

    def __init__(self, form: OptionsForm) -> None:
        super().__init__(form)
        self._form = form
        self._entered: dict[str, Any] = {}
        preferences().changed.connect(self._enter)
        self._enter()

    def _enter(self) -> None:
        preferred = preferences().computing()
        changed = dict(preferred.items() - self._entered.items())
        self._form.enter(changed)  # and leave alone what the user entered there
        self._entered = preferred


def preferences() -> Preferences:
    """Return those of this plugin: always the same object."""
    global _PREFERENCES
    stored = _stored()
    if _PREFERENCES is None or _PREFERENCES.stored is not stored:
        _PREFERENCES = Preferences(stored)
    return _PREFERENCES


_PREFERENCES: Preferences | None = None


def _stored() -> Any:
    """Return what napari keeps for us, or None."""
    try:
        from napari.settings import get_plugin_settings
    except ImportError:  # before napari 0.9
        return None
    return get_plugin_settings().get(PLUGIN)  # none while the plugin is switched off
