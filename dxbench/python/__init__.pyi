from .evaluating import by_protocol as by_protocol
from .evaluating import by_task as by_task
from .scores import Scores as Scores
