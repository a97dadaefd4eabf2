"""One stage a file. A module here with a `STAGE` is a stage; nothing else lists them."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from pipelines.schema import NotFoundError
from pipelines.stages.base import Stage


@cache
def all_stages() -> dict[str, Stage]:
    """name -> stage, for every module of this folder."""
    modules = (import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__))
    stages = [module.STAGE for module in modules if hasattr(module, "STAGE")]
    return {stage.name: stage for stage in sorted(stages, key=lambda stage: stage.order)}


def get_stage(name: str) -> Stage:
    """The stage of this name; raises NotFoundError with the names there are."""
    stages = all_stages()
    if name not in stages:
        raise NotFoundError(f"stage={name}: no such stage (there are: {', '.join(stages)})")
    return stages[name]
