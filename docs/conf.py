"""Sphinx: the pages are Markdown, the API and CLI references come from the code."""

from importlib.metadata import version as installed_version

project = "sshjobs"
author = "The sshjobs developers"
copyright = "The sshjobs developers"  # the name is Sphinx's
release = version = installed_version("sshjobs")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_class_signature = "mixed"

html_theme = "furo"
html_title = "sshjobs"
