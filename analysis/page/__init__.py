"""The page: sections, their HTML, pictures and scripts."""
