"""Prompt files for tests."""

FRET = """---
purpose: Write a task and a query for a passage.
source: made for tests
variables: {passage: data}
schema:
  type: object
  properties:
    task: {type: string, enum: [find code, find a class]}
    query: {type: string, maxLength: 80}
  required: [task, query]
examples:
  - {passage: "def example(): ...", query: "return an example of a function"}
  - {passage: "def other(): ...", query: "count the words of a text"}
---
{% for example in examples %}
{{ example.passage }}
{{ example.query }}
{% endfor %}
{{ passage }}
"""

LIKELIHOOD = """---
purpose: Let a query follow its passage.
source: made for tests
variables: {passage: data}
examples:
  - {passage: "def example(): ...", query: "return an example of a function"}
  - {passage: "def other(): ...", query: "count the words of a text"}
---
{% for example in examples %}
{{ example.passage }}
{{ example.query }}
{% endfor %}
{{ passage }}
"""

RELEVANCE = """---
purpose: Let a grade follow a passage and a query.
source: made for tests
variables: {passage: data, query: data}
labels: {"no": 0, "partly": 1, "yes": 2}
---
{{ passage }}
{{ query }}
"""
