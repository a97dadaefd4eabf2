"""A preference study as a draft: whose reasoning is better, on conversations that all arms answer.

Moderators answer now, evaluations and stored answers are read. Conversations that an arm was
trained to prefer fall out; of the others so many are drawn, by whose verdicts are right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial

from pipelines import presets
from pipelines.asking import conversations
from pipelines.demo_base import ALIASES
from pipelines.evaluations import Evaluation
from pipelines.plan import Workload, accept
from pipelines.schema import DataError
from pipelines.stages.base import Stage, StageContext
from pipelines.stages.data import is_to_come
from pipelines.stages.evaluate_rows import Asked, read_stored
from pipelines.stages.evaluate_work import Work
from pipelines.stages.study_config import StudyConfig
from pipelines.stages.study_rows import held_by, only, read_pool
from pipelines.stages.study_telling import counts_of, told_of
from pipelines.stages.workloads import Trained, generation_workload
from pipelines.studies.arms import (
    Arm,
    Joined,
    Row,
    arm_of,
    arms_of,
    check_references,
    joined,
    key_of,
    merged,
    verdicts_of,
)
from pipelines.studies.artifact import ArmInfo, Item, StudyInfo, write_study
from pipelines.studies.design import DesignFields, StudyDesign
from pipelines.studies.disjoint import (
    Named,
    Training,
    check_known,
    named_pairs,
    training_of,
    without,
)
from pipelines.studies.items import draw, main_items, topics_of
from pipelines.studies.known import PRACTICE, attention_items, known_items
from pipelines.token_counts import count_tokens, prompt_overhead

HELD_BACK = 10
"""At most one in so many rows becomes an attention item where no other is left for it."""


def check(config: StudyConfig) -> list[str]:
    """Looks at arms, rows, training pairs and memory; raises for what can't work."""
    return accept(workload(config))


def workload(config: StudyConfig) -> Workload:
    """What the run asks of a machine: nothing where all answers are there."""
    check_references(config.arms)
    to_come = [one for one in config.arms if is_to_come(one)]
    if to_come:
        arms = [arm_of(one) for one in config.arms if not is_to_come(one)]
    else:
        arms = arms_of(config.arms, config.names)
    told = [remark for one in _named(config) for remark in one.remarks]
    remarks = told + _known_training(config, arms, [training_of(arm, verify=False) for arm in arms])
    _practice(config)
    _gold(config)
    held = [held_by(arm, config) for arm in arms]
    named = config.benchmarks or config.hard_samples
    rows = read_pool(config, held) if named or any(held) or not to_come else []
    examples = conversations(rows)
    remarks.insert(0, f"{len(examples):,} conversations to draw {config.items:,} items from")
    remarks += [f"{one} will be an arm" for one in to_come]
    asked = [arm for arm in arms if arm.subject.asked and not arm.answers]
    base = _base([arm.reference for arm in asked] + to_come)
    answering = len(asked) + len(to_come)
    prompts: list[int] = []
    if answering:
        fixed = prompt_overhead((), base)
        texts = [partial("{}\n{}".format, one.prompt, one.response or "") for one in examples]
        prompts = [length + fixed for length in count_tokens(texts, base)] * answering
    return generation_workload(config, base, prompts, remarks=remarks)


def _base(asked: Sequence[str]) -> str:
    """The base model of the first that answers; empty where none does, or it isn't known yet."""
    if not asked:
        return ""
    return asked[0] if asked[0] in ALIASES else Trained.of_adapter(asked[0]).base


def _named(config: StudyConfig) -> list[Named]:
    """The preference pairs that the researcher named, as far as they are there."""
    return named_pairs(one for one in config.pairs_files if not is_to_come(one))


def _known_training(
    config: StudyConfig, arms: Sequence[Arm], trainings: Sequence[Training]
) -> list[str]:
    return check_known(arms, trainings, bool(config.pairs_files), config.unknown_training_ok)


def _practice(config: StudyConfig) -> list[Item]:
    return known_items(config.practice_file or PRACTICE, "practice") if config.practice else []


def _gold(config: StudyConfig) -> list[Item]:
    return known_items(config.attention_file, "attention") if config.attention_file else []


def run(config: StudyConfig, context: StageContext) -> None:
    """Lets the arms answer, draws the items, and hands over the study as a folder."""
    arms = arms_of(config.arms, config.names)
    practice, gold = _practice(config), _gold(config)
    context.activity("reading the rows and what the arms were trained on")
    trainings = [training_of(arm) for arm in arms]
    remarks = _known_training(config, arms, trainings)
    rows = read_pool(config, [held_by(arm, config) for arm in arms])
    pool, torn = merged(example for part in rows for example in part.examples)
    if torn:
        remarks.append(f"{len(torn):,} conversations left out: their rows contradict one another")
    preferred = [prompt for one in trainings for prompt in one.preferred]
    apart = without(list(pool.values()), preferred, _named(config))
    remarks += apart.remarks
    wanted = {key_of(example): example for example in apart.kept}
    answers = _answers(config, context, arms, [only(part, wanted) for part in rows])
    context.activity("drawing the items")
    found = joined(wanted, [verdicts_of(one, wanted) for one in answers])
    remarks += found.remarks([arm.name for arm in arms])
    drawn, attention = _drawn(config, found)
    if not drawn:
        raise DataError("arms: no conversation is left to compare", remarks)
    items = main_items(drawn, config, config.pairs_per_item, config.seed)
    attention += gold if config.attention_every else []
    remarks += told_of(config, arms, trainings, drawn, len(attention))
    topics, told = topics_of(items, config.topics)
    info = StudyInfo(
        name=config.name.strip() or " against ".join(arm.name for arm in arms)[:200],
        arms=[_arm_info(arm, one) for arm, one in zip(arms, answers, strict=True)],
        design=_design(config, topics, [*remarks, *told]),
        counts=counts_of(items, len(torn), apart, found),
    )
    _hand_over(context, info, [*practice, *items, *attention])


def _answers(
    config: StudyConfig, context: StageContext, arms: Sequence[Arm], rows: Sequence[Asked]
) -> list[Evaluation]:
    """What each arm said; those that have yet to answer do so now, or go on where they stopped."""
    rows = [part for part in rows if part.examples]
    asked = [arm for arm in arms if arm.subject.asked and not arm.answers]
    work = Work(config, context, len(conversations(rows)) * len(asked))
    found = []
    for arm in arms:
        if arm.answers:
            found.append(arm.answers)
        elif arm.subject.kind == "predictions":
            found.append(work.keep_stored(read_stored(arm.subject, config)))
        else:
            found.append(work.ask(arm.subject, rows))
    return found


def _drawn(config: StudyConfig, found: Joined) -> tuple[list[Row], list[Item]]:
    """(the rows that are compared, attention items of others)."""
    rows = len(found.rows)
    wanted = config.attention_items if config.attention_every else 0
    spare = len(found.identical) + max(0, rows - config.items)
    held_back = min(max(wanted - spare, 0), rows // HELD_BACK)
    drawn = draw(found.rows, min(config.items, rows - held_back), config.strata, config.seed)
    taken = {id(row) for row in drawn}
    others = [row for row in found.rows if id(row) not in taken] + found.identical
    return drawn, attention_items(others, found.rows, wanted, config.seed)


def _design(config: StudyConfig, topics: list[str], remarks: list[str]) -> StudyDesign:
    decided = config.model_dump(include=set(DesignFields.model_fields))
    return StudyDesign.model_validate(decided | {"topics": topics, "remarks": remarks})


def _arm_info(arm: Arm, answers: Evaluation) -> ArmInfo:
    info = answers.info
    return ArmInfo(
        name=arm.name,
        kind=arm.subject.kind,
        reference=arm.subject.reference,
        evaluation=str(answers.folder) if arm.answers else "",
        model_sha256=info.model_sha256,
        training=info.training,
    )


def _hand_over(context: StageContext, info: StudyInfo, items: Sequence[Item]) -> None:
    info = write_study(context.directory / "study", info, items)
    for remark in info.design.remarks:
        context.remark(remark, {})
    kinds = Counter(item.kind for item in items)
    details = {
        "arms": [arm.name for arm in info.arms],
        "items": kinds["main"],
        "practice": kinds["practice"],
        "attention": kinds["attention"],
        "content": info.content,
        **info.counts,
    }
    context.artifact("study", context.directory / "study", info.name, details)


STAGE = Stage(
    name="study",
    title="Study",
    summary="Ask people whose reasoning is better: draw the items of a blinded study.",
    config=StudyConfig,
    run=run,
    check=check,
    workload=workload,
    order=60,
    presets=presets.STUDY,
)
