"""Pictures of a monitor's results. The only package that imports matplotlib."""

from jobs.demo.pictures.scores import TrainingCurve, draw_score_picture
from jobs.demo.pictures.timeline import draw_timeline_picture

__all__ = ["TrainingCurve", "draw_score_picture", "draw_timeline_picture"]
