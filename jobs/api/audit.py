"""Routes of the audit: list."""

from typing import Annotated

from fastapi import APIRouter, Query

from jobs.api.dependencies import CallerOf, Service
from jobs.api.paging import Page, Paging, page
from jobs.api.parameters import Text
from jobs.api.problems import documented
from jobs.store import AuditQuery, RecordedAct

router = APIRouter()


class AuditFilter(Paging):
    """The filters of a list of acts."""

    monitor: Text | None = None
    """Only acts on this monitor."""
    actor: Text | None = None
    """Only acts of this key or user."""


@router.get("/audit", responses=documented(422))
def list_audit(filters: Annotated[AuditFilter, Query()], service: Service, caller: CallerOf) -> Page[RecordedAct]:
    """List who labelled, promoted, requested trainings, and managed keys, monitors and entities; newest first."""
    query = AuditQuery(filters.monitor, filters.actor, filters.limit, filters.before, caller.monitors)
    return Page[RecordedAct](**page(service.store.audit.page(query), filters.limit))
