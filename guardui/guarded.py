"""Blocks whose every listener asks who calls it: the page's own, a raw join of the queue, a
program's call. A queued event runs outside of its request, so the visitor is taken from it here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction

from guardui.access import TERMINAL, AccessError, Role, Visitor, acting_as, visitor_of

SCOPES = {"classify": "moderate", "submit": "jobs", "jobs": "jobs", "job": "jobs", "stop": "jobs"}
"""The endpoints that keys may call, and the scope that each needs."""


class GuardedBlocks(gr.Blocks):
    """A page for visitors of at least this role.

    With `listed`, only listeners of functions whose names begin so are answered at all, the first
    beginning that fits telling the least role: a page for everybody names what everybody may do.
    """

    def __init__(self, least: Role, listed: Mapping[str, Role] | None = None, **more: Any) -> None:
        super().__init__(**more)
        self.least, self.listed = least, listed

    def rule_of(self, fn: BlockFunction) -> Role | None:
        """The least role that a listener is for; None where nobody may call it."""
        if self.listed is None or fn.fn is None:  # a listener without one only cancels another
            return self.least
        name = name_of(fn)
        found = (role for beginning, role in self.listed.items() if name.startswith(beginning))
        role = next(found, None)
        return self.least if role and self.least.covers(role) else role

    def check(self, visitor: Visitor, fn: BlockFunction) -> None:
        """Raises AccessError where this visitor may not call this listener."""
        least = self.rule_of(fn)
        if visitor.key_id is not None:
            scope = SCOPES.get(str(fn.api_name), "")
            if scope not in visitor.scopes:
                raise AccessError(f"key: may not call {fn.api_name or 'this'}")
        elif least is None or not visitor.role.covers(least):
            raise AccessError(f"role={visitor.role}: may not call this listener")

    async def process_api(
        self,
        block_fn: BlockFunction | int,
        inputs: list[Any],
        state: Any = None,
        request: Any = None,
        *rest: Any,
        **options: Any,
    ) -> dict[str, Any]:
        """Runs a listener as its visitor. Gradio calls this for every way in, each step of a
        generator anew."""
        fn = self.fns[block_fn] if isinstance(block_fn, int) else block_fn
        one = request[0] if isinstance(request, list) else request
        visitor = TERMINAL if one is None else visitor_of(one)
        try:
            self.check(visitor, fn)
        except AccessError as error:
            raise gr.Error(str(error), title=error.code, print_exception=False) from None
        with acting_as(visitor):
            return await super().process_api(block_fn, inputs, state, request, *rest, **options)


def name_of(fn: BlockFunction) -> str:
    """A listener's function by where it is written: `guardui.tabs.rate.in_front`."""
    function: Any = fn.fn
    return f"{function.__module__}.{function.__qualname__}"
