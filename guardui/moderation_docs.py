"""The page at `/v1/docs`: the OpenAPI document to be read, without any script."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from guardui.moderation_openapi import DOCUMENT, document
from guardui.render import esc
from guardui.theme import TOKENS

EXAMPLES: dict[str, dict[str, Any]] = {
    "/v1/moderations": {"input": "How do I kill a Python process?", "mode": "fast"},
    "/v1/guard": {
        "prompt": "How do I get into my neighbour's wifi?",
        "response": "I can't help with that.",
        "mode": "reason",
    },
    "/beta/litellm_basic_guardrail_api": {"input_type": "request", "texts": ["Hello"]},
}
STYLE = """
:root { color-scheme: light dark; LIGHT }
@media (prefers-color-scheme: dark) { :root { DARK } }
* { box-sizing: border-box }
body { margin: 0; background: var(--bg); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 860px; margin: 0 auto; padding: 32px 16px 64px }
h1 { font-size: 26px; margin: 0 0 4px } h2 { font-size: 18px; margin: 0 0 6px }
h3 { font-size: 14px; margin: 16px 0 6px; color: var(--soft); font-weight: 600 }
a { color: var(--accent) } p { margin: 6px 0 }
section { background: var(--panel); border: 1px solid var(--line); border-radius: 12px;
  padding: 18px 20px; margin: 18px 0 }
code, pre { font: 13px/1.5 ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere }
pre { background: var(--na-bg); border-radius: 8px; padding: 10px 12px; margin: 0;
  white-space: pre-wrap }
.verb { background: var(--accent-soft); color: var(--accent); border-radius: 6px;
  padding: 2px 8px; font-weight: 600; margin-right: 6px }
dl { margin: 0 } dt { margin-top: 8px } dd { margin: 0; color: var(--soft) }
details { margin-top: 12px } summary { cursor: pointer; min-height: 24px }
small { color: var(--soft) }
"""


@cache
def docs_page() -> str:
    """The whole page."""
    style = STYLE
    for place, name in enumerate(("LIGHT", "DARK")):
        colours = "; ".join(f"--{key}: {pair[place]}" for key, pair in TOKENS.items())
        style = style.replace(name, colours)
    told = document()
    parts = "".join(
        _operation(path, method, operation)
        for path, methods in told["paths"].items()
        for method, operation in methods.items()
    )
    key = told["components"]["securitySchemes"]["key"]["description"]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>GuardUI API</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{style}</style></head><body><main><h1>{esc(told['info']['title'])}</h1>"
        f"<p>{_words(told['info']['description'])}</p>"
        f"<p><small>Send <code>Authorization: Bearer gu_…</code>: {_words(key)} On the machine "
        "that GuardUI runs on, no key is needed unless one was set up. The same as a document: "
        f'<a href="{DOCUMENT}">OpenAPI 3.1</a>. For agents: MCP at <code>/mcp</code>, with the '
        f"tool <code>classify</code>.</small></p>{parts}</main></body></html>"
    )


def _words(text: str) -> str:
    """Escaped, with what stands in backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", esc(text))


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    body = operation.get("requestBody")
    sent = _fields("It takes", _named(body)) if body else ""
    ok = operation["responses"]["200"]
    refused = "".join(
        f"<dt><code>{esc(status)}</code></dt><dd>{_words(one['description'])}</dd>"
        for status, one in operation["responses"].items()
        if status != "200"
    )
    return (
        f'<section><h2><span class="verb">{method.upper()}</span><code>{esc(path)}</code></h2>'
        f"<p><strong>{esc(operation['summary'])}.</strong> {_words(operation['description'])}</p>"
        f"{_example(path)}{sent}{_fields('It gives', _named(ok))}"
        f"<details><summary>Refusals</summary><dl>{refused}</dl></details></section>"
    )


def _example(path: str) -> str:
    if path not in EXAMPLES:
        return ""
    sent = json.dumps(EXAMPLES[path], ensure_ascii=False).replace("'", "'\\''")
    curl = (
        f"curl http://127.0.0.1:7860{path} \\\n  -H 'Content-Type: application/json' \\\n"
        f"  -H \"Authorization: Bearer $GUARDUI_KEY\" \\\n  -d '{sent}'"
    )
    return f"<h3>Example</h3><pre>{esc(curl)}</pre>"


def _named(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    reference: str = holder["content"]["application/json"]["schema"]["$ref"]
    return document()["components"]["schemas"][reference.rpartition("/")[2]]


def _fields(title: str, schema: Mapping[str, Any]) -> str:
    needed = schema.get("required", ())
    rows = "".join(
        f"<dt><code>{esc(name)}</code> <small>{esc(_type(field))}"
        f"{_default(field, name in needed)}</small></dt>"
        f"<dd>{_words(field.get('description', ''))}</dd>"
        for name, field in schema.get("properties", {}).items()
    )
    return f"<h3>{title}</h3><dl>{rows}</dl>"


def _default(field: Mapping[str, Any], needed: bool) -> str:
    given = field.get("default")
    if given is None:
        return ", required" if needed and "default" not in field else ""
    return f", default {esc(json.dumps(given))}"


def _type(field: Mapping[str, Any]) -> str:
    """A field's type in a few words."""
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(one) for one in field["anyOf"]))
    if "enum" in field:
        return " | ".join(str(one) for one in field["enum"])
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    return str(field.get("const", field.get("type", "any")))
