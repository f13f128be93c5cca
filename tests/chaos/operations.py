"""What people do to a service while its processes are killed: labels, reloads, trainings, promotions."""

from datetime import UTC, datetime

from sqlalchemy import select

from jobs.databases import reading
from jobs.store.requests import MAX_ATTEMPTS
from schemas.errors import StoreError
from schemas.tables import anomalies, audit, models, retrain_requests
from tests.chaos.outcome import broken
from tests.chaos.watched import PUMPS, TRAINED

_ACTOR = "key chaos"
_DATABASE_FAILED = " refused: "  # in the error of a training, which closes its request
_LABELS = ("confirmed", "known")  # which neither suppress alerts nor end them


class Operations:
    """Changes by people, each of which has succeeded once the method returns.

    Args:
        store: the store.
        site: whose configurations are changed.
        pool: the processes.
        rng: the source of randomness.
    """

    def __init__(self, store, site, pool, rng):
        self._store, self._site, self._pool, self._rng = store, site, pool, rng
        self._labels, self._label_changes, self._requests, self._promoted = {}, 0, 0, None
        self._first_models = {model.id for model in store.models.all(TRAINED.name)}
        self.counts = {"labels": 0, "reloads": 0, "requested trainings": 0, "promotions": 0}

    def label(self):
        """Label flagged records."""
        ids = select(anomalies.c.id, anomalies.c.record_key).where(anomalies.c.monitor == PUMPS.name)
        rows = self._pool.until(lambda: self._rows(ids), "a record is flagged")
        for row in self._rng.sample(rows, min(len(rows), 3)):
            label = self._rng.choice(_LABELS)
            self._do(lambda at, row=row, label=label: self._store.anomalies.label(row.id, label, at, _ACTOR))
            self._label_changes += label != self._labels.get(row.record_key, "open")
            self._labels[row.record_key] = label
            self.counts["labels"] += 1

    def reload(self):
        """Change the configuration, and signal the services to reload it."""
        services = self._pool.until(self._services, "a service handles signals")
        for process in services:
            self._site.configure(process.name, per_hour=self._rng.randint(1_000_000, 2_000_000))
            process.reload()
        self._pool.until(lambda: all(map(_has_reloaded, services)), "the configuration is reloaded")
        self.counts["reloads"] += len(services)

    def _services(self):
        return [process for process in self._pool.processes if process.role.is_serving and process.is_ready]

    def train(self):
        """Request a training."""
        self._do(lambda at: self._store.requests.add(TRAINED.name, "chaos", at, _ACTOR))
        self._requests += 1
        self.counts["requested trainings"] += 1

    def promote(self):
        """Promote the newest model of the monitor that is trained."""
        *_, newest = self._rows(select(models.c.id).where(models.c.monitor == TRAINED.name).order_by(models.c.id))
        if newest.id != self._champion():
            self._do(lambda at: self._store.models.promote(newest.id, at, force=True, actor=_ACTOR))
            self._promoted = newest.id
            self.counts["promotions"] += 1

    def problems(self, connection):
        """Return what became of the changes otherwise than promised, as sentences."""
        c, r = anomalies.c, retrain_requests.c
        is_labelled = (c.monitor == PUMPS.name) & (c.label != "open")
        labelled = connection.execute(select(c.record_key, c.label).where(is_labelled)).all()
        acts = [act for (act,) in connection.execute(select(audit.c.action).where(audit.c.actor == _ACTOR))]
        served = set(connection.scalars(select(r.model_id).where(r.state == "done")))
        trained = connection.scalars(select(models.c.id).where(models.c.monitor == TRAINED.name))
        rules = {
            "each label is kept": (dict(labelled), self._labels),
            "each request was served or given up": (self.open_requests(connection), []),
            "each training has stored one model": (set(trained) - self._first_models, served),
        }
        due = {"label": self._label_changes, "retrain": self._requests, "promote": self.counts["promotions"]}
        missing = [action for action, count in due.items() if acts.count(action) < count]
        if self._promoted is not None:
            rules["the promoted model is the champion"] = (self._champion(), self._promoted)
        return broken(rules | {"each act is in the audit": (missing, [])})

    def open_requests(self, connection):
        """Return the requests that were not served, although no database failed and no three trainings were killed."""
        r = retrain_requests.c
        is_excused = (r.attempts >= MAX_ATTEMPTS) | r.message.contains(_DATABASE_FAILED)
        is_over = (r.state == "done") | ((r.state == "failed") & is_excused)
        return connection.execute(select(r.id, r.state, r.attempts, r.message).where(~is_over)).all()

    def is_training(self, connection):
        """Return whether a request is still to be served."""
        r = retrain_requests.c
        return connection.execute(select(r.id).where(r.state.in_(["pending", "running"]))).first() is not None

    def _champion(self):
        is_champion = (models.c.monitor == TRAINED.name) & (models.c.state == "champion")
        return self._rows(select(models.c.id).where(is_champion))[0].id

    def _rows(self, statement):
        def read(_at):
            with reading(self._store.engine) as connection:
                return connection.execute(statement).all()

        return self._do(read)

    def _do(self, action):
        """Repeat an action until the store has confirmed it, as a person would."""
        done = []

        def has_succeeded():
            try:
                done.append(action(datetime.now(UTC)))
            except StoreError:
                return False
            return True

        self._pool.until(has_succeeded, "the store takes a change")
        return done[-1]


def _has_reloaded(process):
    return process.code is not None or process.count_logged("configuration reloaded") >= process.reloads
