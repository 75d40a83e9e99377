"""How bytes reach an upstream. Knows HTTP; knows nothing of dialects, routes, limits or jobs."""
