"""The notices that the emoji sets' licences ask for, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

COPYRIGHTS: Final[dict[str, str]] = {
    "noto": "Copyright Google Inc. and the Noto Emoji authors",
    "twemoji": "Copyright Twitter, Inc and other contributors",
    "fluent": "Copyright (c) Microsoft Corporation.",
    "fluent-mono": "Copyright (c) Microsoft Corporation.",
}
"""Domain → copyright line of the set."""

EMOJIBASE_COPYRIGHT: Final = "Copyright (c) 2017-2019 Miles Johnson"

MIT_TEXT: Final = """\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or
substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT
OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""

INTRODUCTION: Final = """\
# Licences of the embedded emoji images

`emoji.zip` holds drawings of four open emoji sets, one domain each. They were changed: rendered
from SVG to images of 96×96 pixels on white, and sorted into classes. Nothing else was changed,
and none of the authors endorses this program. The program itself is under the licence in the
LICENSE file of its distribution.
"""


@dataclass(frozen=True)
class Notice:
    """One emoji set: its name, author, npm package and licence (SPDX)."""

    domain: str
    title: str
    author: str
    source: str
    package: str
    version: str
    license: str
    license_url: str


def licenses_markdown(notices: Sequence[Notice], emojibase_version: str) -> str:
    """Return the text of ``LICENSES.md``."""
    return "\n".join(
        [
            INTRODUCTION,
            *(_section(notice) for notice in notices),
            "## Classes: emojibase-data",
            "",
            "The classes follow the subgroups of emojibase-data by Miles Johnson "
            "(https://github.com/milesj/emojibase),",
            f"npm package `emojibase-data` {emojibase_version}, licence MIT. "
            f"{EMOJIBASE_COPYRIGHT}.",
            "",
            "## The MIT License",
            "",
            "It covers the sets marked MIT above, with the copyright lines given there.",
            "",
            MIT_TEXT,
            "## The other licences",
            "",
            "The Apache License 2.0 is in the LICENSE file of this distribution and at "
            "https://www.apache.org/licenses/LICENSE-2.0.",
            "",
            "Creative Commons Attribution 4.0 International is at "
            "https://creativecommons.org/licenses/by/4.0/legalcode.",
            "",
        ]
    )


def _section(notice: Notice) -> str:
    return "\n".join(
        [
            f"## `{notice.domain}`: {notice.title}",
            "",
            f"- Author: {notice.author}, {notice.source}",
            f"- {COPYRIGHTS[notice.domain]}",
            f"- Licence: {notice.license}, {notice.license_url}",
            f"- Taken from the npm package `{notice.package}` {notice.version}",
            "",
        ]
    )
