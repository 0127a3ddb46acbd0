"""Images, image sets and labelled data: what is read from files, with its fingerprint."""
