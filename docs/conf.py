"""The documentation site: `make site` builds it from the pages as they lie in the repository."""

project = "lip-ray"
copyright = "The lip-ray authors"

root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/*.md",
    "sweeps/paper/README.md",
    "studies/README.md",
    "sweeps/study/README.md",
]
extensions = ["myst_parser", "sphinx_copybutton"]
myst_heading_anchors = 4
nitpicky = True

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
templates_path = ["_templates"]
html_additional_pages = {"index": "first.html"}
html_title = "lip-ray"
html_copy_source = False
html_show_sphinx = False
copybutton_prompt_text = "$ "
