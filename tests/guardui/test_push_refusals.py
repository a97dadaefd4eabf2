"""Pushes that are refused before anything is asked of a Hub."""

import pytest

from db import jobs
from db.session import open_database
from pipelines.jobs import publishing, queue
from pipelines.schema import InputError
from tests.pushed import BASE

PLANTED = "hf_plantedTOKENthatMustNotLeak123"


@pytest.fixture
def database(home):
    database = open_database(home.database_url)
    yield database
    database.dispose()


def test_a_push_with_a_token_of_ones_own_does_not_wait(database):
    with database.write() as session:
        training = jobs.add_job(session, stage="rsft", config={"base_model": BASE}).id
    values = {"what": f"job:{training}", "repo": "ada/guard"}
    with pytest.raises(InputError, match="can't wait, and what it needs isn't ready") as caught:
        publishing.submit_push(database, values, PLANTED)
    assert "set HF_TOKEN" in caught.value.advice
    with database.read() as session:
        assert jobs.get_job(session, training + 1).state == "stopped"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"repo": "ada/x"}, "what: a value is needed"),
        ({"what": "study:1"}, "repo: a value is needed"),
        ({"what": "study:1", "repo": "a b"}, "must be NAME or OWNER/NAME"),
        ({"what": "no/where", "repo": "ada/x"}, "what=.*must be artifact:ID"),
    ],
)
def test_what_cannot_go_is_refused_before_it_is_queued(database, values, said):
    with pytest.raises(InputError, match=said):
        queue.submit(database, "push", values, launcher="foreground")
