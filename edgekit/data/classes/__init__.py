"""Classes that two sides call differently: a map of names, guesses at one, and a data set taken through it."""
