from .console import bars as bars
from .console import grid as grid
from .console import status as status
from .console import text_column as text_column
from .progress import Ahead as Ahead
from .progress import BarListener as BarListener
from .progress import LineListener as LineListener
from .progress import listener_for as listener_for
