"""What packages say of themselves: manifests, licence texts and addresses."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.harvest.code.packages import Package, is_manifest, package_of, web_address
from curate.harvest.text.spdx import license_of_texts, spdx

MIT = b"""Copyright (c) 2020 Someone

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files, to deal in the Software.
The above copyright notice and this permission notice shall be included in all copies."""
BSD_2 = b"""Redistribution and use in source and binary forms, with or without
modification, are permitted provided that: 1. Redistributions of source code must retain this.
2. Redistributions in binary form must reproduce the above copyright notice."""
BSD_3 = (
    BSD_2
    + b"""\n3. Neither the name of X may be used to
endorse or promote products derived from this software without specific prior written permission."""
)
APACHE = b"  Apache License\n  Version 2.0, January 2004\n ... 3. Grant of Patent License. ..."


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("MIT", "MIT"),
        ("mit", "MIT"),
        ("The MIT License", "MIT"),
        ("bsd-3-clause or apache-2.0", "BSD-3-Clause OR Apache-2.0"),
        ("(MIT AND ISC)", "(MIT AND ISC)"),
        ("Apache-2.0 WITH LLVM-exception", "Apache-2.0 WITH LLVM-exception"),
        ("BSD License", None),
        ("MIT ISC", None),
        ("OR", None),
        ("SEE LICENSE IN LICENSE.txt", None),
        ("UNLICENSED", None),
        ("", None),
    ],
)
def test_spdx(stated, expected):
    assert spdx(stated) == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([MIT], "MIT"),
        ([BSD_2], "BSD-2-Clause"),
        ([BSD_3], "BSD-3-Clause"),
        ([APACHE], "Apache-2.0"),
        ([APACHE, APACHE], "Apache-2.0"),
        ([MIT, APACHE], None),
        ([MIT + b" Except as contained in this notice, the name"], None),
        ([b"GNU LESSER GENERAL PUBLIC LICENSE\n Version 3, 29 June 2007"], "LGPL-3.0-only"),
        ([b"All rights reserved. \xff"], None),
        ([], None),
    ],
)
def test_license_texts(texts, expected):
    assert license_of_texts(texts) == expected


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("https://github.com/a/b.git", "https://github.com/a/b"),
        ("git+https://github.com/a/b.git#main", "https://github.com/a/b"),
        ("git@gitlab.com:a/b.git", "https://gitlab.com/a/b"),
        ("ssh://git@host.org/a/b", "https://host.org/a/b"),
        ("https://user:secret@host.org/a", "https://host.org/a"),
        ("https://token@host.org/a?key=1", "https://host.org/a"),
        ("github:a/b", "https://github.com/a/b"),
        ("a/b", "https://github.com/a/b"),
        ("/home/someone/a", None),
        ("javascript:alert(1)", None),
        ("", None),
    ],
)
def test_web_address_has_no_secrets(remote, expected):
    assert web_address(remote) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "a-1.dist-info/METADATA",
            "Name: A_b\nVersion: 1\nLicense: BSD\nClassifier: License :: OSI Approved :: MIT License\n"
            "Project-URL: Source, https://example.org\n",
            Package("a-b", "1", "MIT", "https://example.org"),
        ),
        (
            "package/package.json",
            json.dumps(
                {
                    "name": "@a/b",
                    "version": "2.0",
                    "license": {"type": "ISC"},
                    "repository": {"url": "git+https://github.com/a/b.git"},
                }
            ),
            Package("@a/b", "2.0", "ISC", "https://github.com/a/b"),
        ),
        (
            "c-1/Cargo.toml",
            '[package]\nname = "c"\nversion = "1.2.3"\nlicense = "MIT/Apache-2.0"\n'
            'repository = "https://github.com/c/c"\n',
            Package("c", "1.2.3", "MIT OR Apache-2.0", "https://github.com/c/c"),
        ),
        (
            "pyproject.toml",
            '[project]\nname = "D_e"\nlicense = {text = "MIT"}\n'
            '[project.urls]\nDonate = "https://pay.org"\nRepository = "https://d.org"\n',
            Package("d-e", None, "MIT", "https://d.org"),
        ),
        (
            "composer.json",
            '{"name": "v/p", "license": ["MIT", "GPL-2.0"]}',
            Package("v/p", None, "MIT", None),
        ),
        (
            "go.mod",
            "module example.org/x/y\n\ngo 1.20\n",
            Package("example.org/x/y", None, None, "https://example.org/x/y"),
        ),
        ("LICENSE-MIT", MIT.decode(), Package(None, None, "MIT", None)),
    ],
)
def test_manifests(name, text, expected):
    assert is_manifest(name)
    assert package_of({name: text.encode()}) == expected


def test_the_first_manifest_and_the_upper_one_count():
    files = {
        "a/package.json": b'{"name": "deep", "license": "ISC"}',
        "package.json": b'{"name": "top"}',
        "LICENSE": MIT,
    }
    assert package_of(files) == Package("top", None, "ISC", None)


@pytest.mark.parametrize("name", ["package.json", "Cargo.toml", "pyproject.toml", "METADATA"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\0",
        b"[" * 100_000,
        b"[1]",
        b'{"name": 1, "license": [], "repository": [1]}',
        b'{"name": "\\ud800", "version": "' + b"1" * 9999 + b'"}',
        b'project = 1\npackage = "x"\n',
    ],
)
def test_broken_manifests_say_nothing(name, content):
    package = package_of({name: content})
    assert package.license is None
    assert package.version is None
    (package.name or "").encode()


@given(
    st.binary(), st.sampled_from(["METADATA", "package.json", "Cargo.toml", "go.mod", "LICENSE"])
)
def test_anything_may_be_a_manifest(content, name):
    package_of({name: content})
