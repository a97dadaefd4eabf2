"""The report of compared evaluations as a file: what answers the links of the Compare tab."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from db.session import Database
from guardui.access_routes import researchers_only
from guardui.compare_runs import compared, ids_of, listed
from pipelines.schema import GuardUIError, InputError
from pipelines.scoring.cells import Policy

# form -> (media type, ending of the file's name)
FORMS = {
    "markdown": ("text/markdown; charset=utf-8", "md"),
    "html": ("text/html; charset=utf-8", "html"),
    "json": ("application/json", "json"),
    "latex": ("application/x-tex; charset=utf-8", "tex"),
}


def report_routes(database: Database) -> list[Route]:
    """`GET /compare/report.FORM?runs=12,13&policy=wrong_once`; none for the public."""

    @researchers_only
    def download(request: Request) -> Response:
        form, asked = request.path_params["form"], request.query_params
        if form not in FORMS:
            return PlainTextResponse(f"form={form}: must be one of {', '.join(FORMS)}\n", 404)
        try:
            text = _report(database, form, asked.get("runs", ""), asked.get("policy", ""))
        except GuardUIError as error:
            return PlainTextResponse(f"{error}\n", 404)
        media, ending = FORMS[form]
        headers = {"Content-Disposition": f'attachment; filename="evaluation-report.{ending}"'}
        # Its texts are data; a browser that opens it runs nothing in this page's name.
        headers |= {"Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff"}
        return Response(text.encode("utf-8"), media_type=media, headers=headers)

    return [Route("/compare/report.{form}", download, methods=["GET"])]


def _report(database: Database, form: str, runs: str, policy: str) -> str:
    from pipelines.evaluation_report import report

    found = listed(database)
    wanted = ids_of(runs) or []
    missing = sorted(set(wanted) - {one.id for one in found})
    if missing or not wanted:
        told = ", ".join(map(str, missing)) or runs
        raise InputError(f"runs={told}: must be ids of evaluations")
    kept = compared([one for one in found if one.id in wanted], wanted)
    if kept.faults:
        raise InputError("; ".join(kept.faults))
    allowed = [one.value for one in Policy]
    if policy and policy not in allowed:
        raise InputError(f"policy={policy}: must be one of {', '.join(allowed)}")
    return report(kept.evaluations, form, policy=Policy(policy or Policy.WRONG_ONCE))
