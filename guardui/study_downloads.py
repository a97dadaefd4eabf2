"""A study's report and ratings as files: what answers the links of the Studies tab."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from db.session import Database
from guardui.access_routes import researchers_only
from guardui.render_study_people import file_name
from guardui.study_reports import records_of, report_of
from pipelines.schema import GuardUIError
from pipelines.studies.document import report_text
from pipelines.studies.export import Format, packed
from pipelines.studies.records import StudyRecords

# file -> (form of the report, media type)
REPORTS = {
    "report.md": ("markdown", "text/markdown; charset=utf-8"),
    "report.html": ("html", "text/html; charset=utf-8"),
    "report.json": ("json", "application/json"),
}
# file -> (format of the export, media type)
EXPORTS: dict[str, tuple[Format, str]] = {
    "ratings.jsonl": ("jsonl", "application/jsonl"),
    "ratings.parquet": ("parquet", "application/vnd.apache.parquet"),
    "dataset.zip": ("dataset", "application/zip"),
    "pairs.zip": ("pairs", "application/zip"),
    "pairs.jsonl": ("pairs", "application/jsonl"),
}
# Their texts are data; a browser that opens one runs nothing in this page's name.
SAFE = {"Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff"}


def study_routes(database: Database) -> list[Route]:
    """`GET /studies/ID/FILE`; none for the public."""

    @researchers_only
    def download(request: Request) -> Response:
        file = request.path_params["file"]
        if file not in REPORTS and file not in EXPORTS:
            known = ", ".join([*REPORTS, *EXPORTS])
            return PlainTextResponse(f"file={file}: must be one of {known}\n", 404)
        try:
            records = records_of(database, request.path_params["id"])
            content, media = _content(records, file)
        except GuardUIError as error:
            return PlainTextResponse(f"{error}\n", 404)
        name = f"{file_name(records.facts.name)}-{file}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'} | SAFE
        return Response(content, media_type=media, headers=headers)

    return [Route("/studies/{id:int}/{file}", download, methods=["GET"])]


def _content(records: StudyRecords, file: str) -> tuple[bytes, str]:
    """(the file's content, its media type)."""
    report = report_of(records)
    if file in REPORTS:
        form, media = REPORTS[file]
        return report_text(records, report, form).encode("utf-8"), media
    format, media = EXPORTS[file]
    name = f"{file_name(records.facts.name)}-{file.partition('.')[0]}"
    with packed(records, report, format, name, file.endswith(".zip")) as made:
        return made.read_bytes(), media
