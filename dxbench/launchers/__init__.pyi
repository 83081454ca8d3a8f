from .contract import Launch as Launch
from .contract import Launcher as Launcher
from .contract import LaunchSettings as LaunchSettings
from .contract import Outcome as Outcome
from .crew import Crew as Crew
from .local import LocalLauncher as LocalLauncher
from .queue import CellQueue as CellQueue
from .slurm import SlurmLauncher as SlurmLauncher
