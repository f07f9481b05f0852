"""What tests and the examples in src, docs and README share."""

from __future__ import annotations

import pytest

from isonomy import plugins


@pytest.fixture(autouse=True)
def _forget_registered_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test or example leave a plugin behind, or see the user's own settings."""
    monkeypatch.setattr(plugins, "_registered", dict(plugins._registered))
    monkeypatch.delenv("ISONOMY_PLUGINS", raising=False)
    monkeypatch.delenv("ISONOMY_FINGERPRINT_KEY", raising=False)
