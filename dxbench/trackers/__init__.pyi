from .base import EVERY as EVERY
from .base import Tracker as Tracker
from .csv_file import CSVTracker as CSVTracker
from .tensorboard_files import TensorBoardTracker as TensorBoardTracker
from .trackio_runs import TrackioTracker as TrackioTracker
from .wandb_runs import WandbTracker as WandbTracker
