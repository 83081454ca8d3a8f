from .package import Kind as Kind
from .package import new_package as new_package
