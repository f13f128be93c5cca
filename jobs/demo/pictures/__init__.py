"""Pictures of what a monitor found, for people. The only package that speaks matplotlib."""

from jobs.demo.pictures.scores import TrainingCurve, score_picture
from jobs.demo.pictures.timeline import course_picture

__all__ = ["TrainingCurve", "course_picture", "score_picture"]
