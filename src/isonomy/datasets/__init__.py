"""Data with known truth, readers of real data, and an injected imbalance of classes."""

from isonomy.datasets.biographies import make_biographies
from isonomy.datasets.class_prompts import PROMPT_TEMPLATES, class_name_prompts, readable_name
from isonomy.datasets.class_texts import describe_classes
from isonomy.datasets.encoding import encode_table
from isonomy.datasets.idx_files import load_idx, read_idx
from isonomy.datasets.image_folders import IMAGE_SETS, ImageIndex, load_images
from isonomy.datasets.imbalance import count_classes, long_tail
from isonomy.datasets.real_biographies import load_biographies
from isonomy.datasets.synthetic import make_biased_normals
from isonomy.datasets.tables import TABLES, load_table
from isonomy.datasets.text_sets import TEXT_SETS, load_text_set

__all__ = [
    "IMAGE_SETS",
    "PROMPT_TEMPLATES",
    "TABLES",
    "TEXT_SETS",
    "ImageIndex",
    "class_name_prompts",
    "count_classes",
    "describe_classes",
    "encode_table",
    "load_biographies",
    "load_idx",
    "load_images",
    "load_table",
    "load_text_set",
    "long_tail",
    "make_biased_normals",
    "make_biographies",
    "read_idx",
    "readable_name",
]
