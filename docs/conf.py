"""Sphinx configuration. The build opens no connection, and neither does the site."""

import os
import sys
from pathlib import Path

import skcmanp

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "skcmanp"
author = "The skcmanp developers"
copyright = "The skcmanp developers"
version = release = skcmanp.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",  # the source is in the site: it belongs to no host
    "matplotlib.sphinxext.plot_directive",
    "myst_parser",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "names",
    "results",
]
exclude_patterns = ["_build", "auto_examples/**/*.ipynb", "auto_examples/**/*.py", "tests"]
templates_path = ["_templates"]
default_role = "name"

# ---------------------------------------------------------------- references

# Inventories come from the network. INTERSPHINX=1 links to the pages of others; without it their names are not links.
intersphinx_mapping = {}
if os.environ.get("INTERSPHINX"):
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
        "joblib": ("https://joblib.readthedocs.io/en/stable", None),
    }
nitpick_ignore_regex = [(".*", r"(numpy|scipy|sklearn|torch|joblib|pathlib|collections|typing|matplotlib)\..*")]

# ---------------------------------------------------------------- reference pages

autosummary_generate = True
autodoc_typehints = "none"  # types and shapes are in the docstrings
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_validation_checks = {"all"} | {  # all but
    *("ES01", "EX01", "SA01", "RT01"),  # sections that not everything needs
    *("PR01", "PR04", "PR07", "RT03"),  # a description where name, type and shape say all
    "PR03",  # the order of parameters that are described together
    "RT02",  # names of single returned arrays
    "SS05",  # a false alarm at nouns that end in s
}

# ---------------------------------------------------------------- mathematics and pictures

html_math_renderer = "mathml"
plot_html_show_formats = False
plot_html_show_source_link = False
plot_formats = [("png", 160)]
plot_rcparams = {
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
plot_apply_rcparams = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"\.py$",
    "reset_argv": "gallery.arguments",
    "doc_module": ("skcmanp",),
    "reference_url": {"skcmanp": None},
    "backreferences_dir": "backreferences",
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,  # that page would fetch scripts of others
}

# ---------------------------------------------------------------- the site

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/logo.svg"
html_title = "skcmanp"
html_show_sourcelink = False
html_context = {"default_mode": "auto"}
html_sidebars = {page: [] for page in ("install", "quickstart", "benchmarks", "cards")}
html_copy_source = False
html_theme_options = {
    "logo": {"text": "skcmanp", "image_light": "_static/logo.svg", "image_dark": "_static/logo.svg"},
    "navbar_align": "left",
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
    "back_to_top_button": False,
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
