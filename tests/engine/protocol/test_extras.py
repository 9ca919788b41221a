from __future__ import annotations

from importlib import metadata

import pytest

from engine.protocol.extras import install_command

REQUIRES = [
    "torch>=2.4",
    'huggingface-hub>=0.30; extra == "data"',
    'pyarrow>=17; extra == "data"',
    "textual-serve>=1.1.3; extra == 'serve'",
]


def test_the_packages_of_an_extra_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "requires", lambda _: REQUIRES)
    assert install_command("data") == "pip install 'huggingface-hub>=0.30' 'pyarrow>=17'"
    assert install_command("serve") == "pip install 'textual-serve>=1.1.3'"
    assert install_command("other") == "pip install '.[other]'"
