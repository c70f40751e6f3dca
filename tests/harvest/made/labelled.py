"""A classification set in two files, with bad rows among the good."""

import json

CLASSES = ("weather", "τραγούδι", "旅行", "bank account")


def make(folder):
    """Write texts with classes; more than 100."""
    rows = [
        {"text": f"{CLASSES[i % 4]} request № {i}: {'please ' * (i % 3)}", "intent": CLASSES[i % 4]}
        for i in range(150)
    ]
    rows += [{"text": "alone in its class", "intent": "single"}, {"text": "", "intent": "weather"}]
    rows += [{"text": "no class", "intent": None}, rows[0], {"text": ["list"], "intent": "x"}]
    lines = [json.dumps(row) for row in rows]
    (folder / "a.jsonl").write_text("\n".join(lines[:100]), "utf-8")
    (folder / "b.jsonl").write_text("\n".join([*lines[100:], '{"text": "cut']), "utf-8")
    return {"path": str(folder), "source": "made"}
