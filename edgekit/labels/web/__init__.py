"""The page on which pictures are labelled."""
