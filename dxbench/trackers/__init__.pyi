from .base import EVERY as EVERY
from .base import Tracker as Tracker
from .csv_file import CSVTracker as CSVTracker
from .tensorboard import TensorBoardTracker as TensorBoardTracker
from .trackio import TrackioTracker as TrackioTracker
from .wandb import WandbTracker as WandbTracker
