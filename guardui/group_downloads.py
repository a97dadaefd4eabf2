"""A group's curves as files to take away: what answers the links of the Ablations tab."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from db.session import Database
from guardui.access_routes import researchers_only
from guardui.job_downloads import TYPES
from pipelines.comparison import AXES, Axis, to_csv
from pipelines.comparison_png import to_png
from pipelines.jobs.comparison import read_comparison
from pipelines.schema import GuardUIError


def group_routes(database: Database) -> list[Route]:
    """`GET /groups/ID/curves.png`, with `?metric=` and `?by=`, and `.csv`; none for the public."""

    @researchers_only
    def download(request: Request) -> Response:
        form, asked = request.path_params["form"], request.query_params
        if form not in TYPES:
            return PlainTextResponse(f"form={form}: must be png or csv\n", 404)
        axis: Axis = next((one for one in AXES if one == asked.get("by")), "rows")
        try:
            found = read_comparison(database, request.path_params["id"])
            if form == "png":
                content = to_png(found, asked.get("metric", "loss"), axis)
            else:
                content = to_csv(found).encode("utf-8")
        except GuardUIError as error:
            return PlainTextResponse(f"{error}\n", 404)
        headers = {"Content-Disposition": f'attachment; filename="group-{found.id}-curves.{form}"'}
        return Response(content, media_type=TYPES[form], headers=headers)

    return [Route("/groups/{id:int}/curves.{form}", download, methods=["GET"])]
