"""A job's curves as files to take away: the links that the page shows, and what answers them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from db.session import Database
from guardui.access_routes import researchers_only
from pipelines.curves import to_csv, to_png
from pipelines.jobs.curves import read_runs
from pipelines.schema import GuardUIError

TYPES = {"png": "image/png", "csv": "text/csv; charset=utf-8"}


def curve_routes(database: Database) -> list[Route]:
    """`GET /jobs/ID/curves.png` and `.csv`, with `?with=ID` of two jobs; none for the public."""

    @researchers_only
    def download(request: Request) -> Response:
        job, form = request.path_params["id"], request.path_params["form"]
        other = request.query_params.get("with", "")
        if form not in TYPES:
            return PlainTextResponse(f"form={form}: must be png or csv\n", 404)
        try:
            runs = read_runs(database, [job, int(other)] if other.isdecimal() else [job])
            content = to_png(runs) if form == "png" else to_csv(runs).encode("utf-8")
        except GuardUIError as error:
            return PlainTextResponse(f"{error}\n", 404)
        name = "-".join(["job", *(str(run.job) for run in runs)])
        headers = {"Content-Disposition": f'attachment; filename="{name}-curves.{form}"'}
        return Response(content, media_type=TYPES[form], headers=headers)

    return [Route("/jobs/{id:int}/curves.{form}", download, methods=["GET"])]
