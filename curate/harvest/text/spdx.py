"""Licences by their SPDX identifiers: from the names that manifests give them, and from their texts."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MAX_CHARS = 500
_MAX_TEXT_BYTES = 1 << 20

_IDENTIFIERS = (
    "0BSD AFL-3.0 AGPL-3.0 AGPL-3.0-only AGPL-3.0-or-later Apache-2.0 Artistic-1.0 "
    "Artistic-2.0 BSD-1-Clause BSD-2-Clause BSD-2-Clause-Patent BSD-3-Clause "
    "BSD-3-Clause-Clear BSD-4-Clause BSL-1.0 CC0-1.0 CC-BY-3.0 CC-BY-4.0 CC-BY-SA-3.0 "
    "CC-BY-SA-4.0 CDDL-1.0 CDDL-1.1 CECILL-2.1 ECL-2.0 EPL-1.0 EPL-2.0 EUPL-1.1 EUPL-1.2 "
    "GPL-2.0 GPL-2.0+ GPL-2.0-only GPL-2.0-or-later GPL-3.0 GPL-3.0+ GPL-3.0-only "
    "GPL-3.0-or-later HPND ISC LGPL-2.0 LGPL-2.1 LGPL-2.1+ LGPL-2.0-only LGPL-2.0-or-later "
    "LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0 LGPL-3.0+ LGPL-3.0-only LGPL-3.0-or-later MIT "
    "MIT-0 MIT-CMU MPL-1.1 MPL-2.0 MS-PL MulanPSL-2.0 NCSA OFL-1.1 PHP-3.01 PostgreSQL "
    "PSF-2.0 Python-2.0 Ruby Unlicense UPL-1.0 Vim W3C WTFPL X11 Zlib ZPL-2.1 "
    "LLVM-exception Classpath-exception-2.0 GCC-exception-3.1 "
    "Linux-syscall-note "
)
_KNOWN = {name.lower(): name for name in _IDENTIFIERS.split()}
_WORDS = re.compile(r"\(|\)|[^\s()]+")
_OPERATORS = {"and": "AND", "or": "OR", "with": "WITH", "(": "(", ")": ")"}

_SPELLED = {
    "mit license": "MIT",
    "the mit license": "MIT",
    "the mit license (mit)": "MIT",
    "apache software license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "bsd 2-clause": "BSD-2-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "new bsd license": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
    "zlib/libpng license": "Zlib",
    "gplv2": "GPL-2.0-only",
    "gplv3": "GPL-3.0-only",
    "gnu general public license v2 (gplv2)": "GPL-2.0-only",
    "gnu general public license v2 or later (gplv2+)": "GPL-2.0-or-later",
    "gnu general public license v3 (gplv3)": "GPL-3.0-only",
    "gnu general public license v3 or later (gplv3+)": "GPL-3.0-or-later",
    "gnu lesser general public license v2 or later (lgplv2+)": "LGPL-2.0-or-later",
    "gnu lesser general public license v3 (lgplv3)": "LGPL-3.0-only",
    "gnu lesser general public license v3 or later (lgplv3+)": "LGPL-3.0-or-later",
    "gnu affero general public license v3": "AGPL-3.0-only",
    "gnu affero general public license v3 or later (agplv3+)": "AGPL-3.0-or-later",
}
"""Names without doubt: "BSD License" is not among them, for there are several."""


def spdx(stated: str) -> str | None:
    """Return the SPDX expression of a licence as a manifest names it; None where that is doubtful."""
    stated = " ".join(stated[:_MAX_CHARS].split())
    if stated.lower() in _SPELLED:
        return _SPELLED[stated.lower()]
    words = [_OPERATORS.get(w.lower()) or _KNOWN.get(w.lower()) for w in _WORDS.findall(stated)]
    joined = [word in ("AND", "OR", "WITH") for word in words if word not in ("(", ")")]
    if None in words or joined != [i % 2 == 1 for i in range(len(joined))] or not any(words):
        return None
    return " ".join(filter(None, words)).replace("( ", "(").replace(" )", ")")


_LICENSE_FILE = re.compile(
    r"(?:UN|[\w.]{2,10}-)?LICEN[CS]E(?:[-_.][\w-]{1,20})?(?:\.(?:txt|md|rst))?|COPYING(?:\.\w{1,10})?",
    re.IGNORECASE,
)

_PHRASES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "MIT",
        (
            "permission is hereby granted, free of charge, to any person obtaining a copy of this",
            "the above copyright notice and this permission notice shall be included",
        ),
        ("except as contained in this notice",),
    ),
    (
        "BSD-2-Clause",
        (
            "redistribution and use in source and binary forms, with or without modification, are",
            "redistributions in binary form must reproduce the above copyright notice",
        ),
        ("neither the name", "may not be used to endorse", "all advertising materials"),
    ),
    (
        "BSD-3-Clause",
        (
            "redistribution and use in source and binary forms, with or without modification, are",
            "redistributions in binary form must reproduce the above copyright notice",
            "endorse or promote products derived from this software without specific prior written",
        ),
        ("all advertising materials",),
    ),
    ("Apache-2.0", ("apache license version 2.0, january 2004", "grant of patent license"), ()),
    ("MPL-2.0", ("mozilla public license version 2.0 ====", "covered software"), ()),
    ("MPL-2.0", ("mozilla public license, version 2.0 1. definitions", "covered software"), ()),
    ("MPL-2.0", ("mozilla public license version 2.0 1. definitions", "covered software"), ()),
    ("GPL-2.0-only", ("gnu general public license version 2, june 1991", "how to apply these"), ()),
    (
        "GPL-3.0-only",
        ("gnu general public license version 3, 29 june 2007", "the precise terms"),
        (),
    ),
    ("AGPL-3.0-only", ("gnu affero general public license version 3, 19 november 2007",), ()),
    ("LGPL-2.1-only", ("gnu lesser general public license version 2.1, february 1999",), ()),
    ("LGPL-3.0-only", ("gnu lesser general public license version 3, 29 june 2007",), ()),
    ("Unlicense", ("this is free and unencumbered software released into the public domain",), ()),
    (
        "ISC",
        (
            "permission to use, copy, modify, and/or distribute this software for any purpose with or "
            "without fee is hereby granted, provided that the above copyright notice",
        ),
        (),
    ),
    ("CC0-1.0", ("cc0 1.0 universal", "statement of purpose"), ()),
)
"""Licences by phrases that their texts have, and phrases that only others have."""


def is_license_file(name: str) -> bool:
    """Tell whether a file of this name holds the text of a licence."""
    return _LICENSE_FILE.fullmatch(name) is not None


def license_of_texts(texts: Iterable[bytes]) -> str | None:
    """Recognise the licence of texts; None if none is recognised, or more than one."""
    found = {name for text in texts for name in _recognised(text)}
    return found.pop() if len(found) == 1 else None


def _recognised(text: bytes) -> set[str]:
    words = " ".join(text[:_MAX_TEXT_BYTES].decode("utf-8", "replace").lower().split())
    return {
        name
        for name, wanted, unwanted in _PHRASES
        if all(phrase in words for phrase in wanted)
        and not any(phrase in words for phrase in unwanted)
    }
