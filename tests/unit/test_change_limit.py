"""Few changes run at the same time, and previews are no changes."""

import asyncio

from jobs.api.change_limit import MAX_CHANGES, ChangeLimit


def test_previews_in_progress_leave_all_places_to_changes():
    async def requests():
        changed, is_over = [], asyncio.Event()

        async def app(scope, _receive, _send):
            if scope["path"].endswith("/preview"):
                await is_over.wait()
            else:
                changed.append(scope["path"])
                is_over.set()

        limit = ChangeLimit(app)
        previews = [{"method": "POST", "path": f"/monitors/{n}/tuning/preview"} for n in range(MAX_CHANGES)]
        label = {"method": "POST", "path": "/anomalies/1/label"}
        async with asyncio.timeout(5):
            await asyncio.gather(*(limit(scope, None, None) for scope in (*previews, label)))
        return changed

    assert asyncio.run(requests()) == ["/anomalies/1/label"]
