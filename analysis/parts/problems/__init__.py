"""Problems one by one: settings, pictures and numbers of each."""
