"""Pictures to numbers and numbers to answers: numpy, Pillow and OpenCV, never torch.

image       read, find and encode pictures            preprocess  frame -> net pixels -> normalised tensor
decode      logits -> Classification                  metrics     accuracy with exact intervals
draw        an answer drawn onto its picture

Nothing is imported here, so that reading a picture does not load OpenCV.
"""
