from .evaluating import by_protocol as by_protocol
from .evaluating import judged as judged
from .exchanging import pull as pull
from .exchanging import push as push
from .outside import Outside as Outside
from .outside import add_result as add_result
from .outside import keep as keep
from .scores import Scores as Scores
