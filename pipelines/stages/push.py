"""Push to the Hub: an adapter, whole weights, a pair set or a study, with a card from the record.

The token is the environment's (`HF_TOKEN`, or the Hub's login): it is no setting, so that it
stands in no config, database or log.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipelines import hub
from pipelines.hub_client import check_name, full_name
from pipelines.hub_history import History, Publication
from pipelines.pair_sets import describe_pair_set
from pipelines.pair_writing import PAIRS
from pipelines.schema import InputError, StopRequested
from pipelines.stages.base import ESSENTIAL, Stage, StageConfig, StageContext

STUDY = re.compile(r"study:(\d{1,9})")
TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}")
PUBLIC = "and anybody may see it, unless the repository is there already and private: it stays so"
KINDS = {
    "adapter": "an adapter",
    "model": "a whole model",
    "pair_set": "a pair set",
    "study": "a study's ratings",
}

PushableRef = Annotated[str, Field(json_schema_extra={"reference": "pushable"})]


class PushConfig(StageConfig):
    """Push to the Hub, privately unless told otherwise."""

    what: PushableRef = Field(
        "",
        description="What to push: artifact:ID, job:ID, study:ID, NAME@vN of a pair set, or a "
        "folder.",
        json_schema_extra=ESSENTIAL | {"reference": "pushable"},
    )
    repo: str = Field(
        "",
        description="Repository on the Hub: OWNER/NAME, or NAME under your own name.",
        max_length=200,
        json_schema_extra=ESSENTIAL,
    )
    public: bool = Field(
        False,
        description="Anybody may see a new repository; a private one stays private. Without, a new "
        "repository is private, and one that is public is left alone.",
        json_schema_extra=ESSENTIAL,
    )
    base: str = Field(
        "",
        description="Hub id of the base model, where the record has only a folder.",
        max_length=200,
    )


def check(config: PushConfig) -> list[str]:
    """Looks at what is to go; raises for what can't."""
    if not config.what:
        raise InputError("what: a value is needed (artifact:ID, job:ID, study:ID or a folder)")
    if not config.repo:
        raise InputError("repo: a value is needed (OWNER/NAME)")
    if TOKEN.search(f"{config.repo} {config.base} {config.what}"):
        # Not repeated: whoever pasted it there wants it read by nobody.
        raise InputError(
            "repo: looks like a token; must be OWNER/NAME",
            advice="Tokens go into HF_TOKEN, `hf auth login`, or the field for them.",
        )
    check_name(config.repo)
    if config.base:
        check_name(config.base)
    seen = PUBLIC if config.public else "privately"
    if config.what.startswith(("job:", "artifact:")) or "@v" in config.what:
        return [f"goes to {config.repo}, {seen}"]
    kind = kind_of(config.what)
    if kind == "pair_set":
        describe_pair_set(config.what)
    elif kind != "study":
        hub.check_model(config.what, config.repo, config.base)
    return [f"{KINDS[kind]} goes to {config.repo}, {seen}"]


def kind_of(what: str) -> hub.Kind:
    """What a folder or `study:ID` is. Raises NotFoundError or ModelError for neither."""
    if STUDY.fullmatch(what):
        return "study"
    if (Path(what).expanduser() / PAIRS).is_file():
        return "pair_set"
    folder = Path(what).expanduser()
    if not folder.is_dir():
        raise InputError(f"what={what}: must be artifact:ID, job:ID, study:ID or a folder")
    return "adapter" if (folder / "adapter_config.json").is_file() else "model"


def prepare(config: PushConfig, context: StageContext, folder: Path) -> hub.Prepared:
    """All files that would go; those that are made of others lie in `folder`."""
    from pipelines.hub_pairs import prepare_pairs

    kind = kind_of(config.what)
    if kind == "study":
        found = STUDY.fullmatch(config.what)
        context.write_study(int(found[1]) if found else 0, folder)
        return hub.prepared_folder(folder, config.repo, "study")
    if kind == "pair_set":
        return prepare_pairs(config.what, config.repo, folder)
    adapter, _ = hub.check_model(config.what, config.repo, config.base)
    history: History = context.history(adapter.path)
    return hub.prepare_model(adapter.path, config.repo, folder, history, config.base)


def run(config: PushConfig, context: StageContext) -> None:
    """Sends what differs from what is there, in one commit, and keeps which commit it is."""
    context.activity("asking the Hub who this is")
    config = config.model_copy(update={"repo": full_name(config.repo)})
    context.activity("writing the card")
    with hub.made_in_passing() as folder:
        prepared = prepare(config, context, folder)
        if context.should_stop():
            raise StopRequested("stopped before anything was sent")
        sent = hub.upload(prepared, private=not config.public, say=context.activity)
        context.published(
            Publication(
                sent.repo,
                prepared.kind,
                sent.revision,
                sent.url,
                sent.changed,
                len(prepared.files),
                sent.removed,
            )
        )
    if config.public and sent.private:
        said = f"{sent.repo} was there and is private; it stays so until you change it at the Hub"
        context.remark(said, {"repo": sent.repo})
    context.activity("pushed" if sent.changed else "everything was there already")


STAGE = Stage(
    name="push",
    title="Push to the Hub",
    summary="An adapter, a whole model, a pair set or a study, with a card made from the record.",
    config=PushConfig,
    run=run,
    check=check,
    exclusive=False,
    order=95,
)
