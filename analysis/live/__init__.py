"""The page as an app that follows a store while it grows."""
