"""What `edgekit bench` is made of: subjects, suites, attacks, and the process that runs a part of it."""
