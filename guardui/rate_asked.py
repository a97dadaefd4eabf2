"""What a browser may send from the Rate tab, and the sentences for what it may not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from guardui.render_rate import MARKS
from guardui.render_rate_entry import SKIP_REASONS
from pipelines.schema import InputError
from pipelines.studies.design import CRITERIA, Criterion

LONGEST_NOTE = 2000
Body = TypeVar("Body", bound=BaseModel)
Level = Annotated[int, Field(ge=1, le=5, strict=True)]
Overall = Annotated[int, Field(ge=0, le=5, strict=True)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[\w-]+$")]


def _storable(text: Any) -> Any:
    """The text without what a database refuses: NUL, and half a character."""
    if not isinstance(text, str):
        return text
    return text.replace("\0", "").encode("utf-8", "replace").decode()


Note = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=LONGEST_NOTE),
    BeforeValidator(_storable),
]


def _one_of(words: Iterable[str]) -> Callable[[str], str]:
    allowed = list(words)

    def check(word: str) -> str:
        if word not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return word

    return check


class _Asked(BaseModel):
    """Unknown fields are dropped: a page that is older or newer than the server goes on."""

    model_config = ConfigDict(extra="ignore")


class Nothing(_Asked):
    """An act that needs no more than to be named."""


class Place(_Asked):
    """Where a page stands: the item it shows, and whether it shows it as rated."""

    token: Token | None = None
    after: bool = False


class Onward(_Asked):
    """The next item; `go_on` after a suggested break, `rest` to take one."""

    go_on: bool = False
    rest: bool = False


class Held(_Asked):
    """Something about the item of a token."""

    token: Token


class Mark(_Asked):
    """A remark on one step of one side, counted from 1 as it was shown."""

    side: Literal["left", "right"]
    step: Annotated[int, Field(ge=1, le=999, strict=True)]
    mark: Annotated[str, AfterValidator(_one_of(MARKS))]


class Draft(_Asked):
    """An answer as far as it has come."""

    overall: Overall | None = None
    criteria: dict[Criterion, tuple[Level | None, Level | None]] = {}
    note: Note = ""
    marks: Annotated[list[Mark], Field(max_length=400)] = []


class Drafted(Held):
    """A draft of the item of a token."""

    draft: Draft


class Answer(Held):
    """A whole answer."""

    overall: Overall
    criteria: dict[Criterion, tuple[Level, Level]] = {}
    note: Note = ""
    marks: Annotated[list[Mark], Field(max_length=400)] = []


class Second(Held):
    """A change of mind."""

    overall: Overall


class Support(Held):
    """How well each side's reasoning supports its verdicts."""

    left: Level
    right: Level


class Skip(Held):
    """Why a pair is passed over."""

    reason: Annotated[str, AfterValidator(_one_of(SKIP_REASONS))]
    note: Annotated[Note, Field(max_length=500)] = ""


class Consent(_Asked):
    """Agreement, and the topics to be left out."""

    agreed: Literal[True]
    topics: Annotated[list[str], Field(max_length=200)] = []


class Withdrawal(_Asked):
    """Whether the answers are erased too."""

    erase: bool = False


class Join(_Asked):
    """Who wants to take part in what. Sent again with the same random `nonce`, it is the same
    person: the answer to the first may have been lost."""

    study: Annotated[int, Field(ge=1, le=10**9)]
    name: Annotated[Note, Field(max_length=100)] = ""
    nonce: Annotated[str, StringConstraints(pattern=r"^[\w-]{16,64}$")] | None = None


@cache
def _names() -> frozenset[str]:
    """All names that a body may have."""
    found, models = set(CRITERIA), _Asked.__subclasses__()
    while models:
        model = models.pop()
        found |= set(model.model_fields)
        models += model.__subclasses__()
    return frozenset(found)


def read(model: type[Body], body: Mapping[str, Any]) -> Body:
    """The body as the model; raises InputError that names the first field at fault, and never
    repeats what was sent, which may be a secret."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        # A key may be the sender's: only names of our own are said.
        where = ".".join(str(one) for one in fault["loc"] if one in _names() or type(one) is int)
        where = where or "body"
        raise InputError(f"{where}: {fault['msg'].removeprefix('Value error, ')}") from None
