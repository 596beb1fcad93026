"""What one asks edgekit for from Python; the commands ask for it here too, so that both do the same.

model      `load`: pictures in, results out          given     whatever a picture comes as -> a frame
evaluate   how good                                  verify    how equal
train      from a recipe to a checkpoint             bench     how fast
"""
