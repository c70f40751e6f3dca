"""YAML with the booleans of version 1.2: `on`, `no` and `yes` are words, not true and false."""

from __future__ import annotations

import re

import yaml

_BOOLEAN = "tag:yaml.org,2002:bool"


class Loader(yaml.SafeLoader):
    """A safe loader for files that people write."""


Loader.yaml_implicit_resolvers = {
    first: [rule for rule in rules if rule[0] != _BOOLEAN]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(
    _BOOLEAN, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
