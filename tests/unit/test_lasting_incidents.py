"""An incident lasts until the scores have calmed down, whatever the cutting of their stream and their unit."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from detector.core.lasting_incidents import MAX_PAUSE_RECORDS, LastingIncident, incident_numbers
from detector.core.steady_scores import SteadyScores

START = datetime(2026, 3, 1, tzinfo=UTC)
STEADY = SteadyScores(threshold=4.0, median=0.0, high=1.5, top=3.0, limit=40.0)
CALM, NEAR, FAULT = 0.5, 3.6, 5.0  # scores; a record is calm up to .8 of the way from the usual score to the threshold


def numbers(*parts, unit=1.0, offset=0.0):
    """Return the numbers of the incidents of the flagged records among the scores of some parts."""
    scores = offset + unit * np.concatenate([[score] * count for score, count in parts])
    steady = SteadyScores(offset + 4 * unit, offset, offset + 1.5 * unit, offset + 3 * unit, 40 * unit)
    thresholds = np.full(len(scores), offset + 4 * unit)
    found = incident_numbers(steady, scores, thresholds)
    return found[scores > thresholds].tolist()


@pytest.mark.parametrize(
    ("pause", "incidents"),
    [
        ([(CALM, 7)], [0, 0]),
        ([(CALM, 8)], [0, 1]),
        ([(NEAR, 60)], [0, 0]),  # as long as the scores stay near the threshold
        ([(NEAR, 20), (CALM, 4), (NEAR, 20), (CALM, 3)], [0, 0]),
        ([(NEAR, 20), (CALM, 4), (NEAR, 20), (CALM, 4)], [0, 1]),
        ([(NEAR, MAX_PAUSE_RECORDS - 1)], [0, 0]),
        ([(NEAR, MAX_PAUSE_RECORDS)], [0, 1]),
    ],
)
def test_an_incident_goes_on_until_the_scores_have_calmed_down(pause, incidents):
    stream = [(CALM, 20), (FAULT, 1), *pause, (FAULT, 1)]
    assert numbers(*stream) == incidents
    assert numbers(*stream, unit=1e-3, offset=-70.0) == incidents


def test_what_is_calm_follows_the_scores_outside_of_incidents():
    fault = [(FAULT, 1), (3.3, 20), (FAULT, 1)]
    assert numbers((0.0, 50), *fault) == [0, 0]
    assert numbers((2.0, 200), *fault) == [0, 1]  # scores that have drifted upwards are calm at 3.3


def began(incident, scores, first=0):
    """Return the hour at which the incident of each of the next scores began, and move past them."""
    hours = []
    for hour, score in enumerate(scores, start=first):
        began_at = incident.advance(score, 4.0, START + timedelta(hours=hour))
        hours.append(None if began_at is None else (began_at - START) / timedelta(hours=1))
    return hours


def test_a_stream_may_be_cut_anywhere():
    scores = [CALM] * 9 + [FAULT, NEAR, NEAR, FAULT, CALM, FAULT] + [CALM] * 8 + [FAULT, FAULT]
    whole = began(LastingIncident.start(STEADY), scores)
    assert [whole[hour] for hour in (9, 12, 14, 23, 24)] == [9, 9, 9, 23, 23]
    for cut in range(len(scores)):
        first = LastingIncident.start(STEADY)
        parts = began(first, scores[:cut])
        second = LastingIncident.from_state(json.loads(json.dumps(first.to_state())))
        assert parts + began(second, scores[cut:], cut) == whole


def test_what_a_stream_starts_in_may_be_an_incident_of_before():
    incident = LastingIncident.start(STEADY)
    assert began(incident, [CALM, FAULT, FAULT]) == [None, None, None]
    assert (incident.goes_on, incident.is_over) == (True, False)
    began(incident, [CALM] * 8)
    assert (incident.goes_on, incident.is_over) == (False, True)
    assert began(incident, [FAULT], first=20) == [20]
    assert incident.advance(FAULT, 4.0, None) is None  # a record without a time goes by the time of flagging
    assert incident.advance(FAULT, 4.0, START) is None  # as does one from before its incident


def test_a_silence_ends_an_incident_whatever_the_scores():
    incident = LastingIncident.start(STEADY)
    began(incident, [CALM] * 9 + [FAULT])
    later = [START + timedelta(hours=hours) for hours in (13, 18)]
    assert incident.advance(FAULT, 4.0, later[0], timedelta(hours=4)) == START + timedelta(hours=9)
    assert incident.advance(FAULT, 4.0, later[1], timedelta(hours=4)) == later[1]


def test_a_level_that_lasts_is_usual_and_ends_an_incident():
    shifted = [(FAULT, 1), (NEAR, 40)] * 30  # each pause is short of an end
    found = numbers((CALM, 50), *shifted)
    assert found[:8] == [0] * 8
    assert found[-1] > 3
