"""Images, image sets and labelled data, read from files that are known by their content."""
