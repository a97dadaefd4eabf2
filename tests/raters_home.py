"""A process of its own that rates over HTTP, and says of each rating that it was confirmed.

python -m tests.raters_home PEOPLE     # the home and the Hub are those of the environment
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from starlette.applications import Starlette
from starlette.testclient import TestClient

from db.session import open_database
from guardui.rate_routes import rate_routes
from pipelines.jobs.backup import keeping
from pipelines.settings import get_settings
from tests.rating_study import Person, new_item, open_study


def main(people: int) -> None:
    settings = get_settings()
    with keeping(settings) as saved:
        database = open_database(settings.database_url)
        study = open_study(database, [new_item(n, wanted=people) for n in range(40)])
        with TestClient(Starlette(routes=rate_routes(database, settings, saved))) as client:
            raters = [Person(database, settings, client, study) for _ in range(people)]
            with ThreadPoolExecutor(people) as pool:
                list(pool.map(rate_all, raters))


def rate_all(person: Person) -> None:
    screen = person("next", go_on=True)
    while screen["screen"] == "item":
        token = screen["token"]
        person("submit", token=token, overall=2)
        sys.stdout.write(f"{token} {person.code}\n")
        sys.stdout.flush()
        screen = person("next", go_on=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
