"""Few changes run at the same time; previews and scorings are no changes."""

import asyncio

import pytest

from jobs.api.change_limit import MAX_CHANGES, ChangeLimit


@pytest.mark.parametrize("path", ["/monitors/pump/tuning/preview", "/monitors/pump/score"])
def test_previews_and_scorings_in_progress_leave_all_places_to_changes(path):
    async def requests():
        changed, is_over = [], asyncio.Event()

        async def app(scope, _receive, _send):
            if scope["path"] == path:
                await is_over.wait()
            else:
                changed.append(scope["path"])
                is_over.set()

        limit = ChangeLimit(app)
        others = [{"method": "POST", "path": path}] * MAX_CHANGES
        label = {"method": "POST", "path": "/anomalies/1/label"}
        async with asyncio.timeout(5):
            await asyncio.gather(*(limit(scope, None, None) for scope in (*others, label)))
        return changed

    assert asyncio.run(requests()) == ["/anomalies/1/label"]
