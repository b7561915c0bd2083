"""The steps of a search, one a file; `services.search.run` puts them in order."""
