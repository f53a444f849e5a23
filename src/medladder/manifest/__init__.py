"""Which files make a cohort and what is known of each: from class folders, tables or JSON lists."""

from .columns import Columns
from .folders import read_folder, read_listing
from .joining import LabelTable, join, read_labels
from .rows import Manifest
from .tables import is_table_name, read_table

__all__ = [
    "Columns",
    "LabelTable",
    "Manifest",
    "is_table_name",
    "join",
    "read_folder",
    "read_labels",
    "read_listing",
    "read_table",
]
